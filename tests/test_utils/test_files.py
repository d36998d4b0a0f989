"""Reading of text, compressed or not."""

from __future__ import annotations

import gzip

import pytest

from mmtal_mts.utils import read_text


def test_text_is_read_compressed_or_not_whatever_the_name(tmp_path):
    plain, packed = tmp_path / 'a.gz', tmp_path / 'a.txt'
    plain.write_bytes('\ufeffä'.encode())
    packed.write_bytes(gzip.compress('ä'.encode()))
    assert read_text(plain) == read_text(packed) == 'ä'


def test_a_cut_off_gzip_file_is_said_to_be_one(tmp_path):
    path = tmp_path / 'a.json.gz'
    path.write_bytes(gzip.compress(b'x' * 1000)[:-9])
    with pytest.raises(OSError, match='a.json.gz: the gzip file is cut off'):
        read_text(path)
