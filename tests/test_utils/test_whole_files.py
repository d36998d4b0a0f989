"""Files appear whole, or stay what they were."""

from __future__ import annotations

import os

import pytest

from mmtal_mts.utils.io import atomic_write


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'sub/x.txt'
    with atomic_write(target) as temporary:
        temporary.write_text('first')
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'first'
    assert [path.name for path in target.parent.iterdir()] == ['x.txt']


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / 'plain').touch()
    with atomic_write(tmp_path / 'whole') as temporary:
        temporary.touch()
    modes = {os.stat(tmp_path / name).st_mode for name in ('plain', 'whole')}
    assert len(modes) == 1
