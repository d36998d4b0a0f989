"""Converting samples, or files of given contents, and looking at what comes of it."""

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
    """Writes files of text, bytes, or what becomes JSON; returns the first path."""

    def run(files):
        for name, content in files.items():
            if not isinstance(content, (str, bytes)):
                content = json.dumps(content)
            content = content.encode() if isinstance(content, str) else content
            (tmp_path / name).write_bytes(content)
        return tmp_path / next(iter(files))

    return run


@pytest.fixture
def convert(data, write):
    """Converts a sample, any path, or the first of files that are written for it."""

    def run(source, format_name=None, **options):
        path = write(source) if isinstance(source, dict) else data / source
        # Options name files beside it.
        if 'classes' in options:
            options['classes'] = path.with_name(options['classes'])
        if 'durations' in options:
            options['durations'] = [path.with_name(options['durations'])]
        result = convert_annotations([path], format_name, **options)
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
