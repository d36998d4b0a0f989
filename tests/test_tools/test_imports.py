"""Every tool and example finds what it imports from the package."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = 'tools', 'examples', 'projects', '.dev_scripts'
FILES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_names_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        # Tools import when they run, so that their help is quick.
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmtal'):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f'{node.module}.{alias.name}'
