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
from toy_runner import make_runner

from mmtal_mts.engine import InvalidLossHook
from mmtal_mts.utils import InvalidLossError

NAN, INF = float('nan'), float('inf')
CLIP_4 = 'Clips of the batch: video_4 (window_offset=120).'


class Toy(BaseModel):
    """One weight; finite at zero, the root has no finite slope there."""

    def __init__(self, root: bool) -> None:
        super().__init__()
        self.root = root
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        if mode != 'loss':
            return output
        if self.root:
            return dict(loss_root=output.sqrt().sum())
        return dict(
            loss_a=output.mean(),
            loss_b=[output.square().mean(), 0 * output.mean()],
            # Not part of the loss, so it may be anything.
            accuracy=torch.tensor(NAN),
        )


def toy(work_dir: Path, bad: float, place: int = 4, root=False, **wrapper) -> Runner:
    """Six clips of one number each, one of which is bad."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    values[place] = bad
    samples = [
        dict(
            inputs=torch.tensor([value]),
            data_samples=BaseDataElement(
                metainfo=dict(video_id=f'video_{index}', window_offset=30 * index)
            ),
        )
        for index, value in enumerate(values)
    ]
    return make_runner(
        work_dir,
        Toy(root),
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
    assert CLIP_4 in message and 'iteration 5' in message
    assert 'loss_a is' in message and 'loss_b is' in message
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
    from test_invalid_loss_hook import CLIP_4, NAN, InvalidLossError, toy
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
    result = subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run'),
            *('--nproc_per_node=2', f'--master_port={child_env["PORT"]}'),
            *(str(script), str(work_dir), *folders),
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
