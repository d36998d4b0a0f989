"""Reading of compressed text, and files that are there whole or not at all."""

from __future__ import annotations

import gzip
import os
import stat

import pytest

from mmtal_mts.utils import read_text, write_whole


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


def test_a_file_keeps_its_old_content_if_writing_fails(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with write_whole(path) as file:
        file.write('old ä')
    with pytest.raises(RuntimeError), write_whole(path) as file:
        file.write('half')
        raise RuntimeError
    assert path.read_text(encoding='utf-8') == 'old ä'
    assert os.listdir(path.parent) == ['a.txt']
    with write_whole(path, 'wb') as file:
        file.write(b'\0')
    assert path.read_bytes() == b'\0'


@pytest.mark.skipif(os.name == 'nt', reason='POSIX permissions')
def test_a_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / 'other').touch()
    with write_whole(tmp_path / 'mine'):
        pass
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ('other', 'mine')]
    assert modes[0] == modes[1]
