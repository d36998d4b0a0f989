"""Repairs of the installed OpenMMLab stack.

:func:`apply` runs once, when ``mmtal_mts`` is imported, and must come before the
first import of ``mmaction.models``. It checks that the stack fits, with a message
that names the remedy, then repairs what is known to be broken. A repair is applied
only where its breakage is there, so a fixed release upstream makes it disappear.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

_DRN_PACKAGE = 'mmaction.models.localizers.drn'

REQUIREMENTS = {
    'torch': 'torch>=2.6',
    'numpy': 'numpy>=1.26',
    'packaging': 'packaging',
    'mmengine': 'mmengine>=0.10.0,<1.0.0',
    # Or the full mmcv: one module of two distributions.
    'mmcv': 'mmcv-lite>=2.0.1,<2.2.0',
    'importlib_metadata': 'importlib-metadata',
    'mmaction': 'mmaction2>=1.2.0,<2.0.0',
}
"""What to give to ``pip install`` for each module, in the order of import."""


class StackError(ImportError):
    """An installed package is missing, broken or of a version that does not fit."""


def apply() -> None:
    """Checks the stack and repairs it; calling it again changes nothing.

    Raises:
        StackError: A package is missing, does not import or does not fit.
    """
    _check_opencv()
    _check_versions()
    # About an operator that nothing here uses.
    warnings.filterwarnings(
        'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
    )
    _provide_drn()
    _replace_pkg_resources()
    # Registers itself as the loader of every checkpoint.
    importlib.import_module('mmtal_mts.utils.checkpoint')


def full_flavour_problem() -> str | None:
    """Says why mmcv's operators and MMDetection cannot be used, or None.

    Nothing of this package needs them; a config may name what MMDetection has.
    """
    modules = {'mmcv.ops': 'mmcv._ext', 'mmdet': 'mmdet'}
    missing = [n for n in modules if importlib.util.find_spec(modules[n]) is None]
    remedy = 'only in the full flavour. Remedy: bash tools/install_full.sh'
    return f'{" and ".join(missing)}: {remedy}' if missing else None


def _check_opencv() -> None:
    """Checks that OpenCV imports, which a bare server often prevents."""
    try:
        importlib.import_module('cv2')
    except ImportError as error:
        problem = 'not installed. Remedy: pip install opencv-contrib-python'
        if not (isinstance(error, ModuleNotFoundError) and error.name == 'cv2'):
            problem = (
                f'installed but does not import: {error}. Remedy: pip uninstall -y '
                'opencv-python opencv-contrib-python opencv-python-headless && '
                'pip install --force-reinstall opencv-contrib-python-headless '
                '(the headless build needs no libGL or other display libraries)'
            )
        raise StackError(f'OpenCV (cv2) is {problem}') from error


def _check_versions() -> None:
    """Checks that every package of the stack is there in a version that fits."""
    for module, text in REQUIREMENTS.items():
        remedy = f"Remedy: pip install '{text}'"
        if importlib.util.find_spec(module) is None:
            raise StackError(f'{module} is not installed. {remedy}')
        from packaging.requirements import Requirement
        from packaging.version import Version

        wanted = Requirement(text)
        version = _installed_version(module, wanted.name)
        # Releases to come and builds for a GPU count as their release.
        if not wanted.specifier.contains(Version(version).base_version):
            raise StackError(
                f'{module} {version} is installed, but mmtal_mts needs {text}. {remedy}'
            )


def _installed_version(module: str, package: str) -> str:
    """Reads a version without importing the package, which may refuse to import."""
    for name in (package, module):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    # A source tree on PYTHONPATH has no metadata.
    return getattr(importlib.import_module(module), '__version__', '0')


def _provide_drn() -> None:
    """Stands in for the ``drn`` folder that the mmaction2 1.2.0 wheel lacks.

    ``mmaction.models`` imports it unconditionally.
    """
    localizers = _folder('mmaction') / 'models' / 'localizers'
    if _DRN_PACKAGE in sys.modules or (localizers / 'drn').exists():
        return
    if '.drn' not in (localizers / '__init__.py').read_text(encoding='utf-8'):
        return
    from mmaction.registry import MODELS

    @MODELS.register_module()
    class DRN:
        def __init__(self, *args, **kwargs) -> None:
            raise NotImplementedError(
                'DRN is missing from the installed mmaction2 wheel '
                f'({localizers / "drn"} does not exist). '
                'Remedy: install mmaction2 from its source repository.'
            )

    package, module = ModuleType(_DRN_PACKAGE), ModuleType(f'{_DRN_PACKAGE}.drn')
    package.__path__, package.drn, module.DRN = [], module, DRN
    DRN.__module__ = module.__name__
    sys.modules.update({package.__name__: package, module.__name__: module})


def _replace_pkg_resources() -> None:
    """Lets mmengine find installed packages without ``pkg_resources``.

    setuptools 82 removed it, and mmengine needs it for every base config that is
    named by package, as in ``_base_ = 'mmaction::...'``.
    """
    if importlib.util.find_spec('pkg_resources') is not None:
        return
    import mmengine.utils.package_utils as package_utils

    ours = [m for name, m in sys.modules.items() if name.split('.')[0] == 'mmengine']
    for working in (is_installed, get_installed_path):
        broken = getattr(package_utils, working.__name__)
        for module in ours:
            if getattr(module, working.__name__, None) is broken:
                setattr(module, working.__name__, working)


def is_installed(package: str) -> bool:
    """Says whether a package is installed, given its module or distribution name."""
    with contextlib.suppress(ModuleNotFoundError):
        return bool(get_installed_path(package))
    return False


def get_installed_path(package: str) -> str:
    """Folder of an installed package, given its module or distribution name."""
    names = [package]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        package_files = importlib.metadata.distribution(package)
        names += (package_files.read_text('top_level.txt') or '').split()
    for folder in filter(None, map(_folder, names)):
        return str(folder)
    raise ModuleNotFoundError(
        f'{package} is not installed. Remedy: pip install {package}'
    )


def _folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
