"""What the documentation says of the code."""

from __future__ import annotations

import re

import mmaction.registry
from mmengine.registry import Registry

import mmtal_mts  # noqa: F401


def test_the_component_table_names_every_registered_class(repo_root):
    text = (repo_root / 'docs/architecture.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| `(\w+)` \| `(\w+)` \| `([\w/.]+)` \|', text, re.M)
    registered = {
        (name, registry, cls.__module__.replace('.', '/') + '.py')
        for registry, found in vars(mmaction.registry).items()
        if isinstance(found, Registry) and registry != 'INFERENCERS'
        for name, cls in found.module_dict.items()
        if cls.__module__.startswith('mmtal_mts.') and 'compat' not in cls.__module__
    }
    assert len(registered) > 30
    assert {(a, b, f'mmtal_mts/{c}') for a, b, c in rows} == registered
    assert len(rows) == len(registered)


def test_links_between_pages_and_pictures_exist(repo_root):
    pages = [repo_root / 'README.md', *(repo_root / 'docs').glob('*.md')]
    missing = [
        f'{page.name}: {target}'
        for page in pages
        for target in re.findall(r'\]\(([^)#\s]+)', page.read_text(encoding='utf-8'))
        if '://' not in target and not (page.parent / target).exists()
    ]
    assert not missing
