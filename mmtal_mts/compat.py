"""Repairs of the installed OpenMMLab stack.

:func:`apply` runs once, when ``mmtal_mts`` is imported, and must come before the
first import of ``mmaction.models``. It first checks that the stack fits, with a
message that names the remedy, then repairs what is known to be broken. A repair is
applied only where its breakage is really there, so a fixed release upstream makes
it disappear by itself.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_DRN_PACKAGE = 'mmaction.models.localizers.drn'


class StackError(ImportError):
    """An installed package is missing, broken or of a version that does not fit."""


@dataclass(frozen=True)
class Requirement:
    """A package that must be importable, and the versions that are known to fit.

    Args:
        package: Name to show and to install.
        module: Name to import.
        low: First version that fits, or None.
        high: First version that does not fit any more, or None.
        remedy: What to type when it is missing or does not fit.
    """

    package: str
    module: str
    low: str | None
    high: str | None
    remedy: str


_MMCV = "pip install 'mmcv-lite>=2.0.1,<2.2.0' (or mmcv of the same versions)"

REQUIREMENTS = (
    Requirement('torch', 'torch', '2.0', None, "pip install 'torch>=2.0'"),
    Requirement('numpy', 'numpy', '1.23', None, "pip install 'numpy>=1.23'"),
    Requirement(
        'mmengine',
        'mmengine',
        '0.10.0',
        '1.0.0',
        "pip install 'mmengine>=0.10.0,<1.0.0'",
    ),
    Requirement('mmcv', 'mmcv', '2.0.1', '2.2.0', _MMCV),
    Requirement(
        'importlib-metadata',
        'importlib_metadata',
        None,
        None,
        'pip install importlib-metadata (mmaction2 uses it but does not require it)',
    ),
    Requirement(
        'mmaction2',
        'mmaction',
        '1.2.0',
        '2.0.0',
        "pip install 'mmaction2>=1.2.0,<2.0.0'",
    ),
)


def apply() -> None:
    """Checks the stack and repairs it; calling it again changes nothing.

    Raises:
        StackError: A package is missing, does not import or does not fit.
    """
    check_opencv()
    check_versions()
    check_numpy_of_torch()
    quiet_mmcv_lite()
    provide_drn()
    register_checkpoint_loader()
    replace_pkg_resources()


def check_opencv() -> None:
    """Checks that OpenCV imports, which a bare server often prevents.

    Raises:
        StackError: With the package to install instead.
    """
    try:
        importlib.import_module('cv2')
    except ImportError as error:
        remedy = 'pip install opencv-contrib-python'
        if isinstance(error, ModuleNotFoundError) and error.name == 'cv2':
            reason = 'OpenCV (cv2) is not installed'
        else:
            reason = f'OpenCV (cv2) is installed but does not import: {error}'
            remedy = (
                'pip uninstall -y opencv-python opencv-contrib-python '
                'opencv-python-headless && '
                'pip install --force-reinstall opencv-contrib-python-headless '
                '(the headless build needs no libGL or other display libraries)'
            )
        raise StackError(f'{reason}. Remedy: {remedy}') from error


def check_versions(requirements: tuple[Requirement, ...] = REQUIREMENTS) -> None:
    """Checks that every package of the stack is there in a version that fits.

    Args:
        requirements: What to check, in the order in which to import it.

    Raises:
        StackError: Names the package, its version, the versions that fit and the
            command that installs one.
    """
    for requirement in requirements:
        version = _installed_version(requirement)
        if requirement.low is not None and _digits(version) < _digits(requirement.low):
            bound = f'needs at least {requirement.low}'
        elif requirement.high is not None and (
            _digits(version) >= _digits(requirement.high)
        ):
            bound = f'needs a version before {requirement.high}'
        else:
            continue
        raise StackError(
            f'{requirement.package} {version} is installed, but mmtal_mts {bound}. '
            f'Remedy: {requirement.remedy}'
        )


def check_numpy_of_torch() -> None:
    """Checks that torch can read arrays of the installed numpy.

    Raises:
        StackError: For a torch before 2.3, which was built for numpy 1, with numpy 2.
    """
    torch_version, numpy_version = (
        _installed_version(requirement)
        for requirement in REQUIREMENTS
        if requirement.module in ('torch', 'numpy')
    )
    if _digits(torch_version) < (2, 3, 0) and _digits(numpy_version) >= (2, 0, 0):
        raise StackError(
            f'torch {torch_version} was built for numpy 1, but numpy {numpy_version} '
            "is installed. Remedy: pip install 'numpy<2' 'opencv-contrib-python<4.12', "
            'or a newer torch'
        )


def _installed_version(requirement: Requirement) -> str:
    """Reads a version without running the package, whose own check may refuse."""
    if importlib.util.find_spec(requirement.module) is None:
        raise StackError(
            f'{requirement.package} is not installed. Remedy: {requirement.remedy}'
        )
    # ``mmcv`` is the module of two distributions, mmcv and mmcv-lite.
    for name in (requirement.package, f'{requirement.package}-lite'):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # A source tree on PYTHONPATH has no metadata.
    module = importlib.import_module(requirement.module)
    return getattr(module, '__version__', '0')


def _digits(version: str) -> tuple[int, int, int]:
    """Leading numbers of a version: ``'2.13.0+cpu'`` becomes ``(2, 13, 0)``."""
    numbers = []
    for part in version.split('+')[0].split('.')[:3]:
        leading = ''
        for char in part:
            if not char.isdigit():
                break
            leading += char
        numbers.append(int(leading or 0))
    numbers += [0] * (3 - len(numbers))
    return numbers[0], numbers[1], numbers[2]


def full_flavour_problem() -> str | None:
    """Says why mmcv's operators and MMDetection cannot be used, or None.

    Nothing of this package needs them; a config may name what MMDetection has.
    """
    missing = [
        name
        for name, module in (('mmcv.ops', 'mmcv._ext'), ('mmdet', 'mmdet'))
        if importlib.util.find_spec(module) is None
    ]
    if not missing:
        return None
    return (
        f'{" and ".join(missing)}: only in the full flavour. '
        'Remedy: bash tools/install_full.sh'
    )


def quiet_mmcv_lite() -> None:
    """Silences one warning of mmcv-lite about an operator that we never use."""
    warnings.filterwarnings(
        'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
    )


def provide_drn() -> None:
    """Stands in for the ``drn`` folder that the mmaction2 1.2.0 wheel lacks.

    ``mmaction.models`` imports it unconditionally. The stand-in is registered as
    ``DRN`` and says what is wrong as soon as somebody builds one.
    """
    spec = importlib.util.find_spec('mmaction')
    if spec is None or spec.origin is None or _DRN_PACKAGE in sys.modules:
        return
    localizers = Path(spec.origin).parent / 'models' / 'localizers'
    if not localizers.is_dir() or (localizers / 'drn').exists():
        return
    if '.drn' not in (localizers / '__init__.py').read_text(encoding='utf-8'):
        return

    from mmaction.registry import MODELS

    class DRN:
        """Stands in for the localizer that is missing from the wheel."""

        def __init__(self, *args, **kwargs) -> None:
            raise NotImplementedError(
                'DRN is missing from the installed mmaction2 wheel '
                f'({localizers / "drn"} does not exist). '
                'Remedy: install mmaction2 from its source repository.'
            )

    package = ModuleType(_DRN_PACKAGE)
    package.__path__ = []
    module = ModuleType(f'{_DRN_PACKAGE}.drn')
    DRN.__module__ = module.__name__
    module.DRN = DRN
    package.drn = module
    sys.modules[package.__name__] = package
    sys.modules[module.__name__] = module
    MODELS.register_module(name='DRN', module=DRN)


def register_checkpoint_loader() -> None:
    """Lets everything load checkpoints by :mod:`mmtal_mts.utils.checkpoint`."""
    from mmtal_mts.utils.checkpoint import register_safe_globals

    register_safe_globals()


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
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def _get_installed_path(package: str) -> str:
    """Folder of an installed package, given its module or distribution name.

    Raises:
        ModuleNotFoundError: If there is none.
    """
    names = [package]
    try:
        top_level = importlib.metadata.distribution(package).read_text('top_level.txt')
        names += (top_level or '').split()
    except importlib.metadata.PackageNotFoundError:
        pass
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            return os.path.dirname(spec.origin)
    raise ModuleNotFoundError(
        f'{package} is not installed. Remedy: pip install {package}'
    )
