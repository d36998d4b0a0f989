"""Installs mmtal_mts. MMEngine, MMCV and MMAction2 come from mminstall.txt."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


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


EXTRAS = ('build', 'mminstall', 'optional', 'tests', 'docs')

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
    python_requires='>=3.9',
    install_requires=read_requirements('runtime'),
    extras_require={name: read_requirements(name) for name in EXTRAS},
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.9',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
)
