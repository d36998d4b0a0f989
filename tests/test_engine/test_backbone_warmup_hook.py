"""The first epochs train backbone and warm-up head alone, also after a resume."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

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


def make_runner(work_dir, model, num_epochs=2, max_epochs=3, **kwargs):
    config = dict(train_cfg=dict(by_epoch=True, max_epochs=max_epochs))
    config.update(kwargs)
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(1)) for _ in range(3)],
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-2)),
        custom_hooks=[dict(type='BackboneWarmupHook', num_epochs=num_epochs)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        default_scope='mmaction',
        experiment_name=f'{work_dir.name}_{len(list(work_dir.iterdir()))}',
        log_level='ERROR',
        **config,
    )


def test_switches_after_the_warmup_and_leaves_the_neck_alone_before(tmp_path):
    model = Toy()
    neck = model.neck.weight.detach().clone()
    make_runner(tmp_path, model, max_epochs=2).train()
    assert model.seen == [True] * 6
    torch.testing.assert_close(model.neck.weight, neck, rtol=0, atol=0)
    runner = make_runner(tmp_path, model, resume=True)
    runner.train()
    assert model.seen[6:] == [False] * 3
    assert not torch.equal(model.neck.weight, neck)
    # What the warm-up logged is not repeated after it.
    assert 'train/loss_warmup_cls' not in runner.message_hub.log_scalars
    assert 'train/loss_det' in runner.message_hub.log_scalars
    assert model.warming_up is False


def test_log_of_one_run_forgets_the_warmup(tmp_path):
    runner = make_runner(tmp_path, Toy(), num_epochs=1, max_epochs=2)
    runner.train()
    assert not [name for name in runner.message_hub.log_scalars if 'warmup' in name]


def test_zero_epochs_switch_it_off(tmp_path):
    model = Toy(warmup_head=False)
    make_runner(tmp_path, model, num_epochs=0, max_epochs=1).train()
    assert model.seen == [False] * 3


def test_model_without_warmup_head_is_refused(tmp_path):
    runner = make_runner(tmp_path, Toy(warmup_head=False))
    with pytest.raises(UserError, match='model.warmup_head is not set'):
        runner.train()


def test_training_by_iterations_is_refused(tmp_path):
    runner = make_runner(tmp_path, Toy(), train_cfg=dict(by_epoch=False, max_iters=3))
    with pytest.raises(UserError, match='use EpochBasedTrainLoop'):
        runner.train()


def test_negative_epochs_are_refused():
    with pytest.raises(ValueError, match='num_epochs=-1'):
        BackboneWarmupHook(-1)
