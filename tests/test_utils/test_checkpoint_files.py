"""The checkpoint to go on from is found whatever happened to the work dir."""

from __future__ import annotations

import os

import pytest
import torch

from mmtal_mts.utils import best_checkpoint, latest_checkpoint


@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints, the third the newest and named as the last one."""
    for epoch in (1, 2, 3):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(epoch=epoch), path)
        os.utime(path, (1000 + epoch, 1000 + epoch))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    return tmp_path


def test_named_checkpoint(work_dir):
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth') + '\n')

    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_moved_work_dir(work_dir):
    (work_dir / 'last_checkpoint').write_text('/somewhere/else/epoch_3.pth')

    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')


def test_torn_checkpoint_is_passed_over(work_dir):
    path = work_dir / 'epoch_3.pth'
    path.write_bytes(path.read_bytes()[:-100])

    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_removed_checkpoint_is_passed_over(work_dir):
    (work_dir / 'epoch_3.pth').unlink()

    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


@pytest.mark.parametrize('name', ['', 'missing'])
def test_nothing_there(tmp_path, name):
    assert latest_checkpoint(tmp_path / name) is None
    assert best_checkpoint(tmp_path / name) is None


def test_best_checkpoint(work_dir):
    assert best_checkpoint(work_dir) is None
    torch.save({}, work_dir / 'best_mAP_epoch_2.pth')

    assert best_checkpoint(work_dir) == str(work_dir / 'best_mAP_epoch_2.pth')
    # It has no part in resuming.
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')
