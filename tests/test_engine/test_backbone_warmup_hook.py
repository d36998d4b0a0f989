"""The first epochs train backbone and warm-up head alone, also after a resume."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn
from toy_runner import make_runner

from mmtal_mts.engine import BackboneWarmupHook
from mmtal_mts.utils import UserError


class Toy(BaseModel):
    """Notes in which mode every iteration ran."""

    def __init__(self, warmup_head: bool = True) -> None:
        super().__init__()
        self.backbone, self.neck = nn.Linear(1, 1), nn.Linear(1, 1)
        self.warmup_head = nn.Linear(1, 1) if warmup_head else None
        self.warming_up = False
        self.seen: list[bool] = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.seen.append(self.warming_up)
        x = self.backbone(torch.stack(inputs))
        if self.warming_up:
            return dict(loss_warmup_cls=self.warmup_head(x).square().mean())
        return dict(loss_det=self.neck(x).square().mean())


def toy(work_dir, model, num_epochs=2, max_epochs=3, **settings):
    settings.setdefault('train_cfg', dict(by_epoch=True, max_epochs=max_epochs))
    hook = dict(type='BackboneWarmupHook', num_epochs=num_epochs)
    return make_runner(work_dir, model, custom_hooks=[hook], **settings)


def test_it_ends_after_its_epochs_and_leaves_the_neck_alone_before(tmp_path):
    model = Toy()
    neck = model.neck.weight.detach().clone()
    toy(tmp_path, model, max_epochs=2).train()
    assert model.seen == [True] * 6
    torch.testing.assert_close(model.neck.weight, neck, rtol=0, atol=0)
    runner = toy(tmp_path, model, resume=True)
    runner.train()
    assert model.seen[6:] == [False] * 3
    assert not torch.equal(model.neck.weight, neck)
    # What the warm-up logged is not repeated after it.
    assert 'train/loss_warmup_cls' not in runner.message_hub.log_scalars
    assert 'train/loss_det' in runner.message_hub.log_scalars
    assert model.warming_up is False


def test_the_log_of_one_run_forgets_the_warmup(tmp_path):
    runner = toy(tmp_path, Toy(), num_epochs=1, max_epochs=2)
    runner.train()
    assert not [name for name in runner.message_hub.log_scalars if 'warmup' in name]


def test_zero_epochs_switch_it_off(tmp_path):
    model = Toy(warmup_head=False)
    toy(tmp_path, model, num_epochs=0, max_epochs=1).train()
    assert model.seen == [False] * 3


def test_what_cannot_be_warmed_up_is_refused(tmp_path):
    with pytest.raises(UserError, match='model.warmup_head is not set'):
        toy(tmp_path, Toy(warmup_head=False)).train()
    by_iterations = dict(by_epoch=False, max_iters=3)
    with pytest.raises(UserError, match='use EpochBasedTrainLoop'):
        toy(tmp_path, Toy(), train_cfg=by_iterations).train()
    with pytest.raises(ValueError, match='num_epochs=-1'):
        BackboneWarmupHook(-1)
