"""NaN losses and gradients stop training before they reach weights or disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mmtal_mts.engine import InvalidLossHook
from mmtal_mts.utils import InvalidLossError


class Clips(Dataset):
    """Six clips of one number each; ``bad`` is the number of clip 4."""

    def __init__(self, bad: float) -> None:
        self.values = [1.0, 2.0, 3.0, 4.0, bad, 6.0]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict:
        sample = BaseDataElement(
            metainfo=dict(video_id=f'video_{index}', window_offset=30 * index)
        )
        return dict(inputs=torch.tensor([self.values[index]]), data_samples=sample)


class Toy(BaseModel):
    """One weight; ``kind`` chooses how the bad number comes about."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        if mode != 'loss':
            return output
        if self.kind == 'gradient':
            # Finite at zero, but its slope there is not.
            scaled = self.layer.weight * torch.stack(inputs)
            return dict(loss_root=scaled.sqrt().sum())
        return dict(
            loss_a=output.mean(),
            loss_b=[output.square().mean(), 0 * output.mean()],
            # Not part of the loss, so it may be anything.
            accuracy=torch.tensor(float('nan')),
        )


def make_runner(work_dir: Path, bad: float, kind: str = 'loss', **kwargs) -> Runner:
    """A runner with a checkpoint after every two iterations."""
    dataloader = dict(
        dataset=Clips(bad),
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model=Toy(kind),
        work_dir=str(work_dir),
        train_dataloader=dataloader,
        train_cfg=dict(by_epoch=False, max_iters=6),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3), **kwargs),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            invalid_loss=dict(type='InvalidLossHook'),
        ),
        default_scope='mmaction',
        experiment_name=work_dir.name,
        log_level='ERROR',
    )


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), float('-inf')])
def test_bad_loss_stops_training(tmp_path, bad):
    runner = make_runner(tmp_path, bad)
    with pytest.raises(InvalidLossError) as caught:
        runner.train()
    error = caught.value
    assert error.clips == ['video_4 (window_offset=120)']
    assert 'loss_a is' in error.what and 'loss_b is' in error.what
    assert 'accuracy' not in str(error)
    assert 'iteration 5' in str(error)
    assert error.checkpoint == str(tmp_path / 'iter_4.pth')
    assert error.checkpoint in str(error)


def test_weights_and_checkpoints_stay_good(tmp_path):
    runner = make_runner(tmp_path, float('nan'))
    with pytest.raises(InvalidLossError):
        runner.train()
    saved = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert saved == ['iter_2.pth', 'iter_4.pth']
    good = torch.load(tmp_path / 'iter_4.pth', weights_only=True)['state_dict']
    assert torch.isfinite(runner.model.layer.weight).all()
    torch.testing.assert_close(runner.model.layer.weight.data, good['layer.weight'])


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=1.0)])
def test_bad_gradient_of_a_finite_loss_stops_training(tmp_path, clip_grad):
    runner = make_runner(tmp_path, 0.0, kind='gradient', clip_grad=clip_grad)
    with pytest.raises(InvalidLossError, match='gradient of 1 of 1') as caught:
        runner.train()
    assert caught.value.clips == ['video_4 (window_offset=120)']
    assert torch.isfinite(runner.model.layer.weight).all()


def test_before_the_first_checkpoint(tmp_path):
    runner = make_runner(tmp_path, 1.0)
    runner.train_dataloader.dataset.values[0] = float('nan')
    with pytest.raises(InvalidLossError, match='No checkpoint has been saved yet'):
        runner.train()


def test_good_training_is_left_alone(tmp_path):
    runner = make_runner(tmp_path, 5.0)
    runner.train()
    assert (tmp_path / 'iter_6.pth').is_file()
    # The checks are gone: the model may be used for anything afterwards.
    assert not runner.model._forward_hooks


def test_skipped_amp_step_is_left_alone():
    """A scaler that hands its verdict to the optimizer has handled the overflow."""
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([float('inf')])
    optimizer = torch.optim.SGD([weight])
    optimizer.found_inf = torch.ones(1)
    InvalidLossHook()._check_gradients(optimizer, (), {})


SCRIPT = """
    import sys
    from pathlib import Path

    sys.path.insert(0, sys.argv[1])
    import torch.distributed as torch_dist
    from test_invalid_loss_hook import InvalidLossError, make_runner
    from mmengine.model import MMDistributedDataParallel

    torch_dist.init_process_group(backend='gloo')
    runner = make_runner(Path(sys.argv[2]), float('nan'))
    runner.model = MMDistributedDataParallel(module=runner.model)
    try:
        runner.train()
    except InvalidLossError as error:
        # Clip 4 went to process 0; both must know.
        assert error.clips == ['video_4 (window_offset=120)'], error.clips
        assert error.checkpoint.endswith('iter_2.pth'), error.checkpoint
        Path(sys.argv[2], f'stopped_{torch_dist.get_rank()}').touch()
    torch_dist.destroy_process_group()
"""


def test_all_processes_stop(tmp_path, child_env):
    script = tmp_path / 'script.py'
    script.write_text(textwrap.dedent(SCRIPT))
    work_dir = tmp_path / 'work'
    result = subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run'),
            *('--nproc_per_node=2', '--master_port=29671', str(script)),
            *(str(Path(__file__).parent), str(work_dir)),
        ],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    # Files, because the processes' lines mix on a shared standard output.
    stopped = sorted(path.name for path in work_dir.glob('stopped_*'))
    assert stopped == ['stopped_0', 'stopped_1']
