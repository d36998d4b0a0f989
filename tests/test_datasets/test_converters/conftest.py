"""Converting files of given contents, and looking at what came of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mmtal_mts.datasets.converters import convert_annotations


@pytest.fixture
def data(repo_root):
    return repo_root / 'tests' / 'data' / 'annotations'


@pytest.fixture
def write(tmp_path):
    """Writes files of the given contents: text, bytes, or what becomes JSON."""

    def run(files):
        for name, content in files.items():
            if not isinstance(content, (str, bytes)):
                content = json.dumps(content)
            if isinstance(content, str):
                content = content.encode()
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return tmp_path / next(iter(files))

    return run


@pytest.fixture
def convert(tmp_path, write):
    """Converts a path, or the first of several files that it writes."""

    def run(source, format_name=None, **options):
        if isinstance(source, dict):
            source = write(source)
        # Options may name such files.
        if 'classes' in options:
            options['classes'] = tmp_path / options['classes']
        if 'durations' in options:
            options['durations'] = [tmp_path / name for name in options['durations']]
        result = convert_annotations([source], format_name, **options)
        videos = result.content['database']
        return SimpleNamespace(
            result=result,
            format=result.format,
            videos=videos,
            classes=result.content['classes'],
            actions={
                name: [(*a['segment'], a['label']) for a in entry['annotations']]
                for name, entry in videos.items()
            },
            dropped={reason: len(at) for reason, at in result.dropped.items()},
            notes='\n'.join(result.notes),
        )

    return run
