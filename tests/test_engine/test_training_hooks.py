"""Hooks of a training: warm-up, seeds of epochs, and losses that are no numbers."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.structures import BaseDataElement
from torch import nn
from toy_runner import make_runner

from mmtal_mts.engine import BackboneWarmupHook, EpochSeedHook, InvalidLossHook
from mmtal_mts.utils import InvalidLossError, UserError

NAN, INF = float('nan'), float('inf')
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


def test_warmup_ends_after_its_epochs_and_leaves_the_neck_alone_before(tmp_path):
    model = WarmedUp()
    neck = model.neck.weight.detach().clone()
    warmup(tmp_path, model, max_epochs=2)
    assert model.seen == [True] * 6
    torch.testing.assert_close(model.neck.weight, neck, rtol=0, atol=0)
    log = warmup(tmp_path, model, resume=True)
    assert model.seen[6:] == [False] * 3
    assert not torch.equal(model.neck.weight, neck)
    # What the warm-up logged is not repeated after it.
    assert 'train/loss_warmup_cls' not in log and 'train/loss_det' in log
    assert model.warming_up is False


def test_the_log_of_one_run_forgets_the_warmup(tmp_path):
    log = warmup(tmp_path, WarmedUp(), num_epochs=1, max_epochs=2)
    assert not [name for name in log if 'warmup' in name]


def test_zero_epochs_switch_the_warmup_off(tmp_path):
    model = WarmedUp(warmup_head=False)
    warmup(tmp_path, model, num_epochs=0, max_epochs=1)
    assert model.seen == [False] * 3


def test_what_cannot_be_warmed_up_is_refused(tmp_path):
    with pytest.raises(UserError, match='model.warmup_head is not set'):
        warmup(tmp_path, WarmedUp(warmup_head=False))
    with pytest.raises(UserError, match='use EpochBasedTrainLoop'):
        by_iterations = dict(by_epoch=False, max_iters=3)
        warmup(tmp_path, WarmedUp(), train_cfg=by_iterations)
    with pytest.raises(ValueError, match='num_epochs=-1'):
        BackboneWarmupHook(-1)


class Data:
    """A data set that keeps its seeds, or wraps others."""

    def __init__(self, **inner) -> None:
        self.__dict__.update(inner)
        if not inner:
            self.seeds = None
            self.set_epoch_seed = lambda *seeds: setattr(self, 'seeds', seeds)

    def __len__(self) -> int:
        return 8


def enter(epoch, seed=5, loop=EpochBasedTrainLoop, dataset=None):
    """Starts an epoch of a training that just began: its data loader."""
    dataset = dataset or Data()
    loader = SimpleNamespace(dataset=dataset, sampler=DefaultSampler(dataset, seed=1))
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


def test_numbers_depend_on_seed_and_epoch_only():
    first = draw(3)
    assert draw(3) == first
    for other in (draw(4), draw(3, seed=6)):
        assert not set(other) & set(first)
    assert len(set(first)) == 3


def test_wrapped_data_sets_and_the_sampler_get_the_seed():
    inner = [Data(), Data()]
    loader = enter(2, dataset=Data(dataset=Data(datasets=inner)))
    assert [dataset.seeds for dataset in inner] == [(5, 2), (5, 2)]
    # It was built before the checkpoint, which has another seed, was read.
    assert loader.sampler.seed == 5


def test_training_by_iterations_keeps_its_random_numbers():
    torch.manual_seed(0)
    wanted = torch.rand(1).item()
    torch.manual_seed(0)
    loader = enter(0, loop=IterBasedTrainLoop)
    assert torch.rand(1).item() == wanted
    assert loader.dataset.seeds is None


@pytest.mark.parametrize('rank', [0, 1])
def test_processes_draw_other_numbers(monkeypatch, rank):
    alone = draw(3)
    monkeypatch.setattr('mmengine.dist.get_rank', lambda: rank)
    assert (draw(3) == alone) == (rank == 0)


class Summing(BaseModel):
    """One weight; finite at zero, the root has no finite slope there."""

    def __init__(self, root: bool) -> None:
        super().__init__()
        self.root = root
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        if self.root:
            return dict(loss_root=output.sqrt().sum())
        losses = dict(loss_a=output.mean())
        losses['loss_b'] = [output.square().mean(), 0 * output.mean()]
        # Not part of the loss, so it may be anything.
        return dict(losses, accuracy=torch.tensor(NAN))


def toy(work_dir: Path, bad: float, place: int = 4, root=False, **wrapper) -> Runner:
    """Six clips of one number each, one of which is bad."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    values[place] = bad
    metas = [dict(video_id=f'video_{i}', window_offset=30 * i) for i in range(6)]
    samples = [
        dict(inputs=torch.tensor([value]), data_samples=BaseDataElement(metainfo=meta))
        for value, meta in zip(values, metas, strict=True)
    ]
    return make_runner(
        work_dir,
        Summing(root),
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
    runner = toy(tmp_path, 0.0, root=True, clip_grad=clip_grad)
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


SCRIPT = """
    import os
    import sys
    from pathlib import Path

    sys.path[:0] = sys.argv[2:]
    import torch.distributed as torch_dist
    from test_training_hooks import CLIP_4, NAN, InvalidLossError, toy
    from mmengine.model import MMDistributedDataParallel

    torch_dist.init_process_group(backend='gloo')
    runner = toy(Path(sys.argv[1]), NAN)
    runner.model = MMDistributedDataParallel(module=runner.model)
    try:
        runner.train()
    except InvalidLossError as error:
        # Clip 4 went to process 0; both must know.
        assert CLIP_4 in str(error) and 'iter_2.pth' in str(error), error
        Path(sys.argv[1], f'stopped_{torch_dist.get_rank()}').touch()
    # Gloo's threads abort an interpreter that ends while they wait for the other
    # process: both are done here, and neither tears anything down.
    torch_dist.barrier()
    os._exit(0)
"""


def test_all_processes_stop(tmp_path, child_env):
    script, work_dir = tmp_path / 'script.py', tmp_path / 'work'
    script.write_text(textwrap.dedent(SCRIPT))
    folders = [str(folder) for folder in Path(__file__).parents[:2]]
    launcher = ['-m', 'torch.distributed.run', f'--master_port={child_env["PORT"]}']
    command = [sys.executable, '-W', 'ignore', *launcher, '--nproc_per_node=2']
    result = subprocess.run(
        [*command, str(script), str(work_dir), *folders],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    # Files, because the processes' lines mix on a shared standard output.
    stopped = sorted(path.name for path in work_dir.glob('stopped_*'))
    assert stopped == ['stopped_0', 'stopped_1']
