"""Settings of the documentation: sphinx-build -W docs OUT."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
scope: dict[str, str] = {}
exec((ROOT / 'mmtal_mts' / 'version.py').read_text(encoding='utf-8'), scope)

project = 'mmtal_mts'
author = 'The mmtal_mts authors'
release = scope['__version__']
extensions = ['myst_parser']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mmtal_mts {release}'
myst_heading_anchors = 3
