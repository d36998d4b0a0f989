"""Hooks of a training: warm-up, seeds of epochs, and losses that are no numbers."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.structures import BaseDataElement
from torch import nn
from toy_runner import free_port, make_runner, run_child

from mmtal_mts.engine import BackboneWarmupHook, EpochSeedHook, InvalidLossHook
from mmtal_mts.utils import InvalidLossError, UserError

NAN, INF = float('nan'), float('inf')
CLIPPED = dict(clip_grad=dict(max_norm=1.0))
CLIP_4 = 'Clips of the batch: video_4 (window_offset=120).'


class WarmedUp(BaseModel):
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


def warmup(work_dir, model, num_epochs=2, max_epochs=3, **settings):
    settings.setdefault('train_cfg', dict(by_epoch=True, max_epochs=max_epochs))
    hook = dict(type='BackboneWarmupHook', num_epochs=num_epochs)
    runner = make_runner(work_dir, model, custom_hooks=[hook], **settings)
    runner.train()
    return runner.message_hub.log_scalars


def lengths(log):
    """How many iterations of each are still in the log."""
    names = 'loss', 'loss_det', 'grad_norm', 'time'
    return [len(log[f'train/{name}'].data[0]) for name in names]


def test_warmup_ends_after_its_epochs_and_leaves_the_neck_alone_before(tmp_path):
    model = WarmedUp()
    neck = model.neck.weight.detach().clone()
    warmup(tmp_path, model, max_epochs=2, optim_wrapper=CLIPPED)
    assert model.seen == [True] * 6
    torch.testing.assert_close(model.neck.weight, neck, rtol=0, atol=0)
    log = warmup(tmp_path, model, resume=True, optim_wrapper=CLIPPED)
    assert model.seen[6:] == [False] * 3
    assert not torch.equal(model.neck.weight, neck)
    # What the warm-up logged is not repeated after it.
    assert 'train/loss_warmup_cls' not in log and 'train/loss_det' in log
    assert lengths(log) == [3, 3, 3, 9]
    assert model.warming_up is False


@pytest.mark.parametrize('num_epochs', [0, 1])
def test_the_log_of_one_run_forgets_the_warmup(tmp_path, num_epochs):
    model = WarmedUp(warmup_head=num_epochs > 0)
    log = warmup(tmp_path, model, num_epochs, max_epochs=3, optim_wrapper=CLIPPED)
    assert model.seen == [num_epochs > 0] * 3 + [False] * 6
    assert not [name for name in log if 'warmup' in name]
    # The sum is that of the losses that are left, in every epoch after the warm-up.
    kept = 9 - 3 * num_epochs
    assert lengths(log) == [kept, kept, kept, 9]
    total, part = (log[f'train/{name}'].data[0] for name in ('loss', 'loss_det'))
    np.testing.assert_array_equal(total, part)


def test_what_cannot_be_warmed_up_is_refused(tmp_path):
    with pytest.raises(UserError, match='model.warmup_head is not set'):
        warmup(tmp_path, WarmedUp(warmup_head=False))
    with pytest.raises(UserError, match='use EpochBasedTrainLoop'):
        by_iterations = dict(by_epoch=False, max_iters=3)
        warmup(tmp_path, WarmedUp(), train_cfg=by_iterations)
    with pytest.raises(ValueError, match='num_epochs=-1'):
        BackboneWarmupHook(-1)


def enter(epoch, seed=5, loop=EpochBasedTrainLoop, dataset=None):
    """Starts an epoch of a training that just began: its data loader."""
    loader = SimpleNamespace(dataset=dataset, sampler=DefaultSampler([0] * 8, seed=1))
    runner = SimpleNamespace(
        seed=seed, epoch=epoch, train_loop=object.__new__(loop), train_dataloader=loader
    )
    hook = EpochSeedHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    return loader


def draw(*args, **kwargs):
    """Numbers drawn after :func:`enter`."""
    enter(*args, **kwargs)
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_numbers_depend_on_seed_epoch_and_process_only(monkeypatch):
    first = draw(3)
    assert draw(3) == first and len(set(first)) == 3
    others = [draw(4), draw(3, seed=6)]
    monkeypatch.setattr('mmengine.dist.get_rank', lambda: 1)
    for other in (*others, draw(3)):
        assert not set(other) & set(first)


def test_wrapped_data_sets_and_the_sampler_get_the_seed():
    inner = [Mock(spec=['set_epoch_seed']) for _ in range(2)]
    wrapped = SimpleNamespace(dataset=SimpleNamespace(datasets=inner))
    loader = enter(2, dataset=wrapped)
    for dataset in inner:
        dataset.set_epoch_seed.assert_called_once_with(5, 2)
    # It was built before the checkpoint, which has another seed, was read.
    assert loader.sampler.seed == 5


def test_training_by_iterations_keeps_its_random_numbers():
    wanted = torch.rand(1).item()
    torch.manual_seed(0)
    loader = enter(0, loop=IterBasedTrainLoop, dataset=Mock(spec=['set_epoch_seed']))
    assert torch.rand(1).item() == wanted
    loader.dataset.set_epoch_seed.assert_not_called()


class Summing(BaseModel):
    """One weight; finite at zero, the root has no finite slope there."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        losses = dict(loss_a=output.mean(), loss_root=output.sqrt().sum())
        losses['loss_b'] = [output.square().mean(), 0 * output.mean()]
        # Not part of the loss, so it may be anything.
        return dict(losses, accuracy=torch.tensor(NAN))


def toy(work_dir: Path, bad: float, place: int = 4, **wrapper) -> Runner:
    """Six clips of one number each, one of which is bad."""
    samples = [dict(inputs=torch.tensor([i + 1.0])) for i in range(6)]
    samples[place]['inputs'].fill_(bad)
    for i, sample in enumerate(samples):
        meta = dict(video_id=f'video_{i}', window_offset=30 * i)
        sample['data_samples'] = BaseDataElement(metainfo=meta)
    return make_runner(
        work_dir,
        Summing(),
        samples,
        optim_wrapper=wrapper,
        train_cfg=dict(by_epoch=False, max_iters=6),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            invalid_loss=dict(type='InvalidLossHook'),
        ),
    )


@pytest.mark.parametrize('bad', [NAN, INF, -INF])
def test_a_bad_loss_stops_training_before_it_does_damage(tmp_path, bad):
    runner = toy(tmp_path, bad)
    with pytest.raises(InvalidLossError) as caught:
        runner.train()
    message = str(caught.value)
    for words in (CLIP_4, 'iteration 5', 'loss_a is', 'loss_b is'):
        assert words in message
    assert 'accuracy' not in message
    assert f'--resume {tmp_path / "iter_4.pth"}' in message
    saved = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert saved == ['iter_2.pth', 'iter_4.pth']
    good = torch.load(tmp_path / 'iter_4.pth', weights_only=True)['state_dict']
    torch.testing.assert_close(runner.model.layer.weight.data, good['layer.weight'])


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=1.0)])
def test_a_bad_gradient_of_a_finite_loss_stops_training(tmp_path, clip_grad):
    runner = toy(tmp_path, 0.0, clip_grad=clip_grad)
    with pytest.raises(InvalidLossError, match='gradient of 1 of 1') as caught:
        runner.train()
    assert CLIP_4 in str(caught.value)
    assert torch.isfinite(runner.model.layer.weight).all()


def test_without_a_checkpoint_none_is_named(tmp_path):
    with pytest.raises(InvalidLossError, match='No checkpoint has been saved yet'):
        toy(tmp_path, NAN, place=0).train()


def test_good_training_is_left_alone(tmp_path):
    runner = toy(tmp_path, 5.0)
    runner.train()
    assert (tmp_path / 'iter_6.pth').is_file()
    # The checks are gone: the model may be used for anything afterwards.
    assert not runner.model._forward_hooks


def test_a_step_that_the_scaler_skips_is_left_alone():
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([INF])
    optimizer = torch.optim.SGD([weight])
    optimizer.found_inf = torch.ones(1)
    InvalidLossHook()._check_gradients(optimizer, (), {})


def train_beside_another_process(work_dir: Path) -> None:
    """Must stop in each of two processes, though clip 4 goes to process 0."""
    torch_dist.init_process_group(backend='gloo')
    runner = toy(work_dir, NAN)
    runner.model = MMDistributedDataParallel(module=runner.model)
    with pytest.raises(InvalidLossError, match='iter_2.pth') as caught:
        runner.train()
    assert CLIP_4 in str(caught.value)
    # Gloo's threads abort an interpreter that ends while they wait for the other
    # process: both are done here, and neither tears anything down.
    torch_dist.barrier()
    os._exit(0)


def test_all_processes_stop(tmp_path):
    paths = os.pathsep.join(map(str, Path(__file__).parents[1:3]))
    port = f'--master_port={free_port()}'
    launcher = [*'-W ignore -m torch.distributed.run --nproc_per_node=2'.split(), port]
    command = [sys.executable, *launcher, __file__, str(tmp_path)]
    code, output = run_child(*command, PYTHONPATH=paths)
    assert code == 0, output


if __name__ == '__main__':
    train_beside_another_process(Path(sys.argv[1]))
