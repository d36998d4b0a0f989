"""Installs mmcv with its operators, from a wheel that is compiled only once.

python tools/misc/install_mmcv.py requirements/full.txt

The wheel is kept outside of the repository, in a folder of its own for each set of
versions that must fit together. An interrupted compilation goes on where it was.
Needs torch, setuptools<81 and ninja in this environment, and a C++ compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PIP = (sys.executable, '-m', 'pip', '--disable-pip-version-check')


class InstallError(RuntimeError):
    """Something a person has to do first; the message names it."""


def pinned_version(requirements: Path) -> str:
    """The version of mmcv that a requirements file asks for.

    Raises:
        InstallError: There is no line ``mmcv==VERSION``.
    """
    found = re.search(r'^mmcv==([\w.]+)', requirements.read_text(), re.MULTILINE)
    if found is None:
        raise InstallError(f'{requirements} has no line mmcv==VERSION; add one')
    return found[1]


def cuda_build() -> str | None:
    """The CUDA version to compile for; None without nvcc or without a CUDA torch.

    The same rule as for our own operators (setup.py).
    """
    from torch.utils.cpp_extension import CUDA_HOME
    from torch.version import cuda

    has_nvcc = bool(CUDA_HOME) and any(Path(CUDA_HOME, 'bin').glob('nvcc*'))
    return cuda if has_nvcc else None


def wheel_key(version: str, cuda: str | None) -> str:
    """Names everything that a compiled mmcv depends on, as a folder name."""
    parts = [
        f'mmcv{version}',
        f'python{sys.version_info.major}.{sys.version_info.minor}',
        f'torch{metadata.version("torch")}',
        f'{platform.system()}-{platform.machine()}',
    ]
    if cuda is not None:
        architectures = os.environ.get('TORCH_CUDA_ARCH_LIST', 'default')
        parts.append(f'cuda{cuda}-{architectures}')
    return re.sub(r'[^\w.+-]+', '_', '-'.join(parts))


def wheel_cache() -> Path:
    """The folder of all wheels: $MMTAL_WHEELS, or below the cache of the user."""
    if os.environ.get('MMTAL_WHEELS'):
        return Path(os.environ['MMTAL_WHEELS']).absolute()
    # Not every job has a home.
    home = os.environ.get('HOME') or sys.prefix
    cache = os.environ.get('XDG_CACHE_HOME') or f'{home}/.cache'
    return Path(cache, 'mmtal_mts', 'wheels')


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Creates a folder and lets one process at a time work in it.

    Raises:
        InstallError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / '.lock', 'w')
    except OSError as error:
        raise InstallError(
            f'{folder} cannot be written ({error.strerror}): '
            'set MMTAL_WHEELS to a folder that can'
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_wheel(folder: Path) -> Path | None:
    """The finished wheel of a folder."""
    return next(folder.glob('mmcv-*.whl'), None)


def check_compiler() -> None:
    """Checks what compiling needs, before minutes are spent.

    Raises:
        InstallError: The compiler or the headers of Python are missing.
    """
    compiler = os.environ.get('CXX', 'c++').split()[0]
    if shutil.which(compiler) is None:
        raise InstallError(
            f'there is no C++ compiler ({compiler}). On Debian and Ubuntu: '
            'apt install g++; or name one: CXX=/path/to/g++'
        )
    header = Path(sysconfig.get_paths()['include'], 'Python.h')
    if not header.is_file():
        raise InstallError(
            f'the headers of Python are missing ({header}). On Debian and Ubuntu: '
            f'apt install python{sys.version_info.major}.{sys.version_info.minor}-dev'
        )


def run(command: tuple[str, ...], remedy: str, env: dict[str, str] | None = None):
    """Runs a command; its output goes where ours goes.

    Raises:
        InstallError: It failed.
    """
    if subprocess.run(command, env=env, check=False).returncode != 0:
        raise InstallError(f'"{" ".join(command)}" failed, see above. {remedy}')


def unpacked_source(folder: Path, version: str) -> Path:
    """The source of mmcv below the folder, fetched if it is not there.

    Raises:
        InstallError: It cannot be fetched.
    """
    source = folder / f'mmcv-{version}'
    if source.is_dir():
        return source
    archive = folder / f'mmcv-{version}.tar.gz'
    if not archive.is_file():
        partial = folder / 'download.partial'
        run(
            (*PIP, 'download', '--no-deps', '--no-binary', 'mmcv')
            + ('--no-build-isolation', '-d', str(partial), f'mmcv=={version}'),
            f'Check the network and run this again, or put {archive.name} into '
            f'{folder} yourself',
        )
        os.replace(partial / archive.name, archive)
    partial = folder / 'source.partial'
    shutil.rmtree(partial, ignore_errors=True)
    shutil.unpack_archive(archive, partial)
    os.replace(partial / source.name, source)
    return source


def compile_wheel(folder: Path, version: str, cuda: str | None) -> Path:
    """Compiles the wheel; what an earlier try has compiled is used again.

    Raises:
        InstallError: Something is missing, or does not compile.
    """
    check_compiler()
    source = unpacked_source(folder, version)
    env = {**os.environ, 'MMCV_WITH_OPS': '1'}
    env.setdefault('MAX_JOBS', str(os.cpu_count() or 1))
    # Python's own flags ask for debug information, which nobody reads and which makes
    # the compiler slower and the wheel many times larger.
    for name in ('CFLAGS', 'CXXFLAGS'):
        env[name] = f'{env.get(name, "")} -g0'.strip()
    if cuda is not None:
        env['FORCE_CUDA'] = '1'
    else:
        # Where mmcv sees a GPU it insists on nvcc, even if there is none.
        env.update(FORCE_CUDA='0', CUDA_VISIBLE_DEVICES='-1')
    partial = folder / 'wheel.partial'
    shutil.rmtree(partial, ignore_errors=True)
    # From a folder, not from the archive: pip then compiles in that folder, where the
    # next try finds what is done.
    run(
        (*PIP, 'wheel', '--no-deps', '--no-build-isolation', '--use-pep517', '-v')
        + ('-w', str(partial), str(source)),
        'Look for the first "error:". "Killed" means too little memory: MAX_JOBS=1 '
        'needs 2 GB. Run this again to go on',
        env,
    )
    built = find_wheel(partial)
    wheel = folder / built.name
    os.replace(built, wheel)
    for path in (partial, folder / 'source.partial', folder / 'download.partial'):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(source)
    return wheel


def install(wheel: Path) -> None:
    """Installs the wheel; mmcv-lite has the same module and must go first."""
    remedy = 'Run this again'
    run((*PIP, 'uninstall', '-y', 'mmcv-lite', 'mmcv'), remedy)
    # Not its requirements: it would bring a second OpenCV.
    run((*PIP, 'install', '--no-deps', str(wheel)), remedy)


def main() -> int:
    """Finds or compiles the wheel, then installs it."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        version = pinned_version(Path(sys.argv[1]))
        cuda = cuda_build()
        folder = wheel_cache() / wheel_key(version, cuda)
        with locked(folder):
            wheel = find_wheel(folder) or compile_wheel(folder, version, cuda)
            install(wheel)
    except InstallError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'installed {wheel}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
