"""Repairs of the installed OpenMMLab stack.

:func:`apply` runs once, when ``mmtal_mts`` is imported, and must come before the
first import of ``mmaction.models``. It checks that the stack fits, with a message
that names the remedy, then repairs what is known to be broken. A repair is applied
only where its breakage is there, so a fixed release upstream makes it disappear.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

_DRN_PACKAGE = 'mmaction.models.localizers.drn'

REQUIREMENTS = (
    ('torch', 'torch', '2.6', None, "'torch>=2.6'"),
    ('numpy', 'numpy', '1.26', None, "'numpy>=1.26'"),
    ('mmengine', 'mmengine', '0.10.0', '1.0.0', "'mmengine>=0.10.0,<1.0.0'"),
    ('mmcv', 'mmcv', '2.0.1', '2.2.0', "'mmcv-lite>=2.0.1,<2.2.0' (or mmcv)"),
    ('importlib-metadata', 'importlib_metadata', '0', None, 'importlib-metadata'),
    ('mmaction2', 'mmaction', '1.2.0', '2.0.0', "'mmaction2>=1.2.0,<2.0.0'"),
)
"""Package, its module, first version that fits, first that does not any more, and
what to give to ``pip install``; in the order of import."""


class StackError(ImportError):
    """An installed package is missing, broken or of a version that does not fit."""


def apply() -> None:
    """Checks the stack and repairs it; calling it again changes nothing.

    Raises:
        StackError: A package is missing, does not import or does not fit.
    """
    check_opencv()
    check_versions()
    # About an operator that nothing here uses.
    warnings.filterwarnings(
        'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
    )
    provide_drn()
    replace_pkg_resources()
    # Registers itself as the loader of every checkpoint.
    importlib.import_module('mmtal_mts.utils.checkpoint')


def check_opencv() -> None:
    """Checks that OpenCV imports, which a bare server often prevents.

    Raises:
        StackError: With the package to install instead.
    """
    try:
        importlib.import_module('cv2')
    except ImportError as error:
        remedy = 'pip install opencv-contrib-python'
        reason = 'OpenCV (cv2) is not installed'
        if not (isinstance(error, ModuleNotFoundError) and error.name == 'cv2'):
            reason = f'OpenCV (cv2) is installed but does not import: {error}'
            remedy = (
                'pip uninstall -y opencv-python opencv-contrib-python '
                'opencv-python-headless && '
                'pip install --force-reinstall opencv-contrib-python-headless '
                '(the headless build needs no libGL or other display libraries)'
            )
        raise StackError(f'{reason}. Remedy: {remedy}') from error


def check_versions() -> None:
    """Checks that every package of the stack is there in a version that fits.

    Raises:
        StackError: Names the package, its version, the versions that fit and the
            command that installs one.
    """
    for package, module, low, high, remedy in REQUIREMENTS:
        remedy = f'Remedy: pip install {remedy}'
        if importlib.util.find_spec(module) is None:
            raise StackError(f'{package} is not installed. {remedy}')
        version = _installed_version(package, module)
        if _numbers(version) < _numbers(low):
            bound = f'needs at least {low}'
        elif high is not None and _numbers(version) >= _numbers(high):
            bound = f'needs a version before {high}'
        else:
            continue
        raise StackError(
            f'{package} {version} is installed, but mmtal_mts {bound}. {remedy}'
        )


def _installed_version(package: str, module: str) -> str:
    """Reads a version without running the package, whose own check may refuse."""
    # ``mmcv`` is the module of two distributions, mmcv and mmcv-lite.
    for name in (package, f'{package}-lite'):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # A source tree on PYTHONPATH has no metadata.
    return getattr(importlib.import_module(module), '__version__', '0')


def _numbers(version: str) -> list[int]:
    """The first three numbers of a version: ``'2.13.0+cpu'`` becomes [2, 13, 0]."""
    parts = [re.match(r'\d*', part)[0] for part in version.split('+')[0].split('.')]
    return [int(part or 0) for part in [*parts, '', ''][:3]]


def full_flavour_problem() -> str | None:
    """Says why mmcv's operators and MMDetection cannot be used, or None.

    Nothing of this package needs them; a config may name what MMDetection has.
    """
    modules = {'mmcv.ops': 'mmcv._ext', 'mmdet': 'mmdet'}
    missing = [n for n in modules if importlib.util.find_spec(modules[n]) is None]
    remedy = 'only in the full flavour. Remedy: bash tools/install_full.sh'
    return f'{" and ".join(missing)}: {remedy}' if missing else None


def provide_drn() -> None:
    """Stands in for the ``drn`` folder that the mmaction2 1.2.0 wheel lacks.

    ``mmaction.models`` imports it unconditionally. Building the stand-in says what
    is wrong.
    """
    spec = importlib.util.find_spec('mmaction')
    localizers = Path(spec.origin).parent / 'models' / 'localizers'
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


def replace_pkg_resources() -> None:
    """Lets mmengine find installed packages without ``pkg_resources``.

    setuptools 82 removed it, and mmengine needs it for every base config that is
    named by package, as in ``_base_ = 'mmaction::...'``.
    """
    if importlib.util.find_spec('pkg_resources') is not None:
        return
    import mmengine.utils.package_utils as package_utils

    replacements = {
        'is_installed': (package_utils.is_installed, _is_installed),
        'get_installed_path': (package_utils.get_installed_path, _get_installed_path),
    }
    for module_name, module in list(sys.modules.items()):
        if module_name.split('.')[0] != 'mmengine':
            continue
        for name, (broken, working) in replacements.items():
            if getattr(module, name, None) is broken:
                setattr(module, name, working)


def _is_installed(package: str) -> bool:
    """Says whether a distribution or a regular module of that name is installed."""
    try:
        return bool(importlib.metadata.distribution(package))
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def _get_installed_path(package: str) -> str:
    """Folder of an installed package, given its module or distribution name."""
    names = [package]
    try:
        top_level = importlib.metadata.distribution(package).read_text('top_level.txt')
        names += (top_level or '').split()
    except importlib.metadata.PackageNotFoundError:
        pass
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            return str(Path(spec.origin).parent)
    raise ModuleNotFoundError(
        f'{package} is not installed. Remedy: pip install {package}'
    )
