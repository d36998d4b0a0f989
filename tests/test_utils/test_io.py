"""Files appear whole or stay what they were, and are read compressed or not."""

from __future__ import annotations

import gzip
import json
import math
import os

import pytest

from mmtal_mts.utils import UserError, read_json, read_text, write_json
from mmtal_mts.utils.io import atomic_write


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'sub/x.txt'
    before = os.umask(0o022)
    try:
        with atomic_write(target) as temporary:
            temporary.write_text('first')
    finally:
        os.umask(before)
    # Everybody may read what the umask allows.
    assert target.stat().st_mode & 0o777 == 0o644
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'first'
    assert os.listdir(target.parent) == ['x.txt']


def test_numbers_and_names_come_back_exactly(tmp_path):
    content = {'Übung': [0.1 + 0.2, 1e-300, 7]}
    path = tmp_path / 'new' / 'a.json'
    write_json(path, content)
    assert json.loads(path.read_text(encoding='utf-8')) == read_json(path) == content
    with pytest.raises(ValueError, match='JSON'):
        write_json(path, [1.0, math.nan])
    assert read_json(path) == content
    assert os.listdir(path.parent) == ['a.json']


def test_text_is_read_compressed_or_not_whatever_the_name(tmp_path):
    plain, packed = tmp_path / 'a.gz', tmp_path / 'a.txt'
    plain.write_bytes('\ufeffä'.encode())
    packed.write_bytes(gzip.compress('ä'.encode()))
    assert read_text(plain) == read_text(packed) == 'ä'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{', ' is not valid JSON'),
        (b'\xff', ' is not valid JSON'),
        (
            gzip.compress(b'x', mtime=0)[:-9],
            ' cannot be read: .*the gzip file is cut off',
        ),
    ],
)
def test_what_is_no_json_is_named(tmp_path, content, message):
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'{path}{message}'):
        read_json(path)
