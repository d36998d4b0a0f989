"""Writing JSON files."""

from __future__ import annotations

import json
import math
import os

import pytest

from mmtal_mts.utils.io import write_json


def test_numbers_and_names_come_back_exactly(tmp_path):
    content = {'Übung': [0.1 + 0.2, 1e-300, 7]}
    path = tmp_path / 'new' / 'a.json'
    write_json(path, content)
    assert json.loads(path.read_text(encoding='utf-8')) == content
    assert os.listdir(path.parent) == ['a.json']


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, [1])
    with pytest.raises(ValueError, match='JSON'):
        write_json(path, [1.0, math.nan])
    assert json.loads(path.read_text()) == [1]
    assert os.listdir(tmp_path) == ['a.json']


def test_everybody_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_json(tmp_path / 'a.json', [])
    finally:
        os.umask(before)
    assert (tmp_path / 'a.json').stat().st_mode & 0o777 == 0o644
