"""Installs mmtal_mts. MMEngine, MMCV and MMAction2 come from mminstall.txt."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What a wheel carries beside the package, where OpenMIM and MMEngine look for it.
MIM_FOLDER = 'mmtal_mts/.mim'
MIM_FILES = (
    'model-index.yml',
    'configs/**/*.py',
    'configs/**/*.md',
    'configs/**/*.yml',
    'tools/**/*.py',
    'tools/**/*.md',
    'tools/dist_*.sh',
    'tools/slurm_*.sh',
)
# Sets up a clone, so it is of no use elsewhere.
CLONE_ONLY = ('quickstart.py',)


def read_requirements(name: str) -> list[str]:
    """Reads one of the requirement files, without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    stripped = (line.split('#')[0].strip() for line in lines.splitlines())
    return [line for line in stripped if line]


def read_version() -> str:
    """Reads the version without importing the package, which needs torch."""
    scope: dict[str, str] = {}
    source = (ROOT / 'mmtal_mts' / 'version.py').read_text(encoding='utf-8')
    exec(source, scope)
    return scope['__version__']


class BuildWithMim(build_py):
    """Puts configs, tools and the model index where OpenMIM looks for them.

    A wheel gets copies. With the environment variable MMTAL_ZOO, the web address of
    a folder with the released weights, its metafiles name that address, so that
    "mim download" works. An editable installation has them beside the package, where
    MMEngine finds them too.
    """

    def run(self) -> None:
        """Copies the package and, into a wheel, the rest."""
        super().run()
        for source, target in () if self.editable_mode else self._mim_files():
            self.mkpath(os.path.dirname(target))
            self.copy_file(source, target)
            if Path(source).name == 'metafile.yml' and 'MMTAL_ZOO' in os.environ:
                text = Path(source).read_text(encoding='utf-8')
                address = f'Weights: {os.environ["MMTAL_ZOO"].rstrip("/")}/'
                text = text.replace('Weights: zoo/', address)
                Path(target).write_text(text, encoding='utf-8')

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Lists what is written, for the record of the installation."""
        return super().get_outputs(include_bytecode) + [
            target for _, target in self._mim_files()
        ]

    def _mim_files(self) -> list[tuple[str, str]]:
        """Pairs of source and target, relative to the root of the repository."""
        files = [file for pattern in MIM_FILES for file in Path().glob(pattern)]
        return [
            (str(file), os.path.join(self.build_lib, MIM_FOLDER, str(file)))
            for file in files
            if file.name not in CLONE_ONLY
        ]


def compiled_ops() -> dict:
    """What setup() needs to build the compiled operators, if that is asked for.

    Environment:
        MMTAL_WITH_OPS: 1 builds them; needs torch and mmcv or mmcv-lite installed,
            and pip's --no-build-isolation so that they are found.
        FORCE_CUDA: 1 refuses to leave the CUDA kernels out, which otherwise are built
            if torch is a CUDA build and nvcc is there.
        TORCH_CUDA_ARCH_LIST: architectures, e.g. "8.0 9.0+PTX"; needed where there is
            no GPU to take them from.
    """
    if os.environ.get('MMTAL_WITH_OPS', '0') != '1':
        return {}
    try:
        from torch.cuda import device_count
        from torch.utils import cpp_extension
        from torch.version import cuda as torch_cuda
    except ImportError as error:
        raise SystemExit(
            f'MMTAL_WITH_OPS=1: torch cannot be imported ({error}). Install it first '
            'and add --no-build-isolation to pip install'
        ) from error
    mmcv = importlib.util.find_spec('mmcv')
    headers = Path(mmcv.origin).parent / 'ops/csrc/common' if mmcv else None
    if headers is None or not (headers / 'pytorch_device_registry.hpp').is_file():
        raise SystemExit(
            'MMTAL_WITH_OPS=1: the C++ headers of mmcv are missing. Install mmcv-lite '
            'or mmcv first and add --no-build-isolation to pip install'
        )

    forced = os.environ.get('FORCE_CUDA', '0') == '1'
    has_nvcc = bool(cpp_extension.CUDA_HOME) and any(
        (Path(cpp_extension.CUDA_HOME) / 'bin').glob('nvcc*')
    )
    with_cuda = torch_cuda is not None and has_nvcc
    if with_cuda and not (device_count() or os.environ.get('TORCH_CUDA_ARCH_LIST')):
        # Torch takes the architectures of the GPUs that it sees.
        remedy = 'for which GPUs? Set TORCH_CUDA_ARCH_LIST, e.g. "8.0 9.0+PTX"'
        if forced:
            raise SystemExit(f'FORCE_CUDA=1: no GPU is here, so {remedy}')
        print(f'CUDA kernels are left out: no GPU is here, so {remedy}')
        with_cuda = False
    if forced and not with_cuda:
        raise SystemExit(
            'FORCE_CUDA=1: this needs a CUDA build of torch (here: '
            f'{torch_cuda or "CPU only"}) and nvcc (CUDA_HOME: '
            f'{cpp_extension.CUDA_HOME})'
        )

    # Relative: setuptools puts them into its list of files.
    source = Path('mmtal_mts/ops/csrc')
    sources = [*source.glob('*.cpp'), *source.glob('cpu/*.cpp')]
    flags = ['-O3']
    if sys.platform == 'linux':
        # Not when linking: OpenMP must be the one that torch brings, or there are
        # two, of which torch.set_num_threads reaches only the first.
        flags.append('-fopenmp')
    macros = []
    if with_cuda:
        sources += source.glob('cuda/*.cu')
        macros.append(('MMTAL_WITH_CUDA', None))
    build = cpp_extension.CUDAExtension if with_cuda else cpp_extension.CppExtension
    extension = build(
        'mmtal_mts.ops._compiled',
        sorted(str(path) for path in sources),
        include_dirs=[str(headers)],
        define_macros=macros,
        depends=sorted(str(path) for path in source.glob('*.h')),
        extra_compile_args=dict(cxx=flags, nvcc=['-O3']) if with_cuda else flags,
    )
    return dict(
        ext_modules=[extension], cmdclass=dict(build_ext=cpp_extension.BuildExtension)
    )


settings = compiled_ops()
settings.setdefault('cmdclass', {})['build_py'] = BuildWithMim
EXTRAS = ('build', 'mminstall', 'export', 'tests', 'docs')

setup(
    name='mmtal_mts',
    version=read_version(),
    description='Temporal action localization with multi-temporal scales (TAL-MTS), '
    'a plugin of MMAction2',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    keywords='temporal action localization, video understanding, MMAction2',
    license='Apache-2.0',
    packages=find_packages(include=('mmtal_mts', 'mmtal_mts.*')),
    include_package_data=True,
    python_requires='>=3.10',
    install_requires=read_requirements('runtime'),
    extras_require={name: read_requirements(name) for name in EXTRAS},
    # The versions that were tried: docs/installation.md.
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
    **settings,
)
