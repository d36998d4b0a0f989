"""Losses from the logs of trainings."""

from __future__ import annotations

import json

import pytest

from mmtal_mts.apis.loss_curves import plot_losses, read_losses
from mmtal_mts.utils import UserError


def write_log(folder, start, *rows):
    path = folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(row) for row in rows))


def row(epoch, step, loss):
    return dict(epoch=epoch, step=step, loss=loss, loss_loc=loss / 2, lr=1e-3)


def test_epochs_are_averaged_and_a_resumed_training_goes_on(tmp_path):
    rows = (row(1, 10, 4.0), row(1, 20, 2.0), row(2, 30, 9.0))
    write_log(tmp_path, '20260101_0', *rows, dict(step=2, mAP=0.5))
    write_log(tmp_path, '20260101_1', row(2, 30, 1.0), row(2, 40, 0.5))
    assert read_losses(tmp_path) == {1: 3.0, 2: 0.75}
    assert read_losses(tmp_path, 'loss_loc') == {1: 1.5, 2: 0.375}
    out = tmp_path / 'new' / 'losses.png'
    plot_losses([tmp_path], out, title='A $title')
    assert out.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match='no log of a training'):
        read_losses(tmp_path)
    write_log(tmp_path, 'a', row(1, 10, 4.0))
    with pytest.raises(UserError, match="no 'x' was logged; there is loss, loss_loc"):
        read_losses(tmp_path, 'x')
    (tmp_path / 'a' / 'vis_data' / 'scalars.json').write_text('{')
    with pytest.raises(UserError, match=r'scalars\.json:1: not valid JSON'):
        read_losses(tmp_path)
