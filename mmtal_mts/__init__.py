"""TAL-MTS: temporal action localization with multi-temporal scales.

A plugin of MMAction2: importing it repairs the installed stack where that is needed
(:mod:`mmtal_mts.compat`) and registers every component in MMAction2's registries.
"""

from . import compat
from .version import __version__

# Must come before the first import of ``mmaction.models``.
compat.apply()

from . import datasets, engine, evaluation, models, visualization  # noqa: E402

__all__ = [
    '__version__',
    'compat',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'visualization',
]
