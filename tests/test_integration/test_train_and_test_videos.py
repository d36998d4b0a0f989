"""The complete model on real video files, through the command line tools.

One tiny data set and one training serve all tests of this file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from toy_runner import ROOT, free_port, start_child

from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.utils import run_tool

LOSSES = 'coarse_cls', 'coarse_loc', 'refine_cls', 'refine_loc', 'quality'
WITH_MMDET = """
_base_ = './config.py'
focal = dict(_delete_=True, type='mmdet.FocalLoss', loss_weight=1.0)
giou = dict(_delete_=True, type='mmdet.GIoULoss', loss_weight=1.0)
smooth_l1 = dict(_delete_=True, type='mmdet.SmoothL1Loss', loss_weight=1.0)
entropy = dict(_delete_=True, type='mmdet.CrossEntropyLoss', use_sigmoid=True)
model = dict(
    coarse_head=dict(loss_cls=focal, loss_loc=giou),
    refine_head=dict(loss_cls=focal, loss_loc=smooth_l1, loss_quality=entropy),
    warmup_head=dict(loss_cls=dict(type='mmdet.CrossEntropyLoss')),
)
"""


def metrics(output: str) -> dict[str, float]:
    """The last metrics that were logged."""
    line = [x for x in output.splitlines() if 'mAP@0.30:' in x][-1]
    return {k: float(v) for k, v in re.findall(r'(mAP\S*): ([0-9.]+)', line)}


def logged_losses(work_dir: Path) -> list[dict[str, float]]:
    """The losses of each iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    entries = map(json.loads, path.read_text().splitlines())
    losses = ({k: v for k, v in entry.items() if 'loss' in k} for entry in entries)
    return [*filter(None, losses)]


@pytest.fixture(scope='module')
def trained(project):
    """Output and work dir of one uninterrupted training."""
    options = ('--work-dir', 'trained', '--seed', '0')
    return project.folder / 'trained', project.run('train.py', 'config.py', *options)


def test_training_logs_every_loss_and_keeps_checkpoints(trained):
    work_dir, output = trained
    assert (work_dir / 'epoch_2.pth').exists()
    first, *_, last = (x for x in output.splitlines() if 'Epoch(train)' in x)
    assert 'loss_warmup_cls:' in first and 'loss_coarse_cls:' not in first
    assert 'warmup' not in last
    for name in ('eta', 'lr', *(f'loss_{part}' for part in LOSSES)):
        assert f'{name}:' in last
    assert set(metrics(output)) >= {'mAP@0.30', 'mAP@0.70', 'mAP'}


def test_test_repeats_validation_and_writes_detections(project, trained):
    dumped = project.folder / 'detections.json'
    tested = project.run(
        *('test.py', 'config.py', 'trained/epoch_2.pth'),
        *('--cfg-options', f'test_evaluator.dump_path={dumped}'),
    )
    assert metrics(tested) == metrics(trained[1])
    results = json.loads(dumped.read_text())['results']
    database = json.loads((project.folder / 'data/annotations.json').read_text())
    videos = database['database'].items()
    assert set(results) == {k for k, video in videos if video['subset'] == 'test'}
    scores = [found['score'] for video in results.values() for found in video]
    assert scores and 0 < min(scores) <= max(scores) <= 1


def test_two_processes_give_the_same_map(project, trained):
    tested = project.run(
        *('dist_test.sh', 'config.py', 'trained/epoch_2.pth', '2'),
        *('--cfg-options', 'test_dataloader.batch_size=1'),
    )
    assert metrics(tested) == metrics(trained[1])


def test_two_machines_train_as_one_process_does(project, trained):
    tool, port = f'{ROOT}/tools/dist_train.sh', free_port()
    jobs = [
        start_child(
            *('bash', tool, 'config.py', '1', '--work-dir', 'distributed'),
            *('--seed', '0', '--cfg-options', 'train_dataloader.batch_size=1'),
            cwd=project.folder,
            **dict(NNODES='2', NODE_RANK=rank, PORT=port),
        )
        for rank in '01'
    ]
    outputs = [job.communicate(timeout=240)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs[0]
    assert 'mAP' in metrics(outputs[0])
    work_dir = project.folder / 'distributed'
    alone, together = logged_losses(trained[0]), logged_losses(work_dir)
    assert len(alone) == len(together)
    # The backbone alone, then everything. Rounding grows from step to step of Adam.
    both = alone[:9]
    assert 'loss_warmup_cls' in both[0] and 'loss_quality' in both[-1]
    for one, two in zip(both, together[:9], strict=True):
        assert two == pytest.approx(one, rel=2e-5)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ('model.neck.pyramid.spatial_sizes=(3,2)', 'spatial_sizes[0]=3'),
        ('train_dataloader.dataset.ann_file=absent.json', 'absent.json'),
        ('train_dataloader.dataset.data_prefix.video=nowhere', 'nowhere'),
        ('train_dataloader.dataset.subsets=tset', "'tset' training test"),
        ('model.refine_head.num_classes=9', 'num_classes'),
    ],
)
def test_what_does_not_fit_is_one_message(
    project, load_tool, monkeypatch, capsys, options, words
):
    monkeypatch.chdir(project.folder)
    command = ['train.py', 'config.py', '--work-dir', 'bad', '--cfg-options', options]
    monkeypatch.setattr('sys.argv', command)
    assert run_tool(load_tool('train.py').main) == 2
    error = capsys.readouterr().err.rpartition('error: ')[2]
    for word in words.split():
        assert word in error, error


@pytest.mark.full
def test_full_flavour_has_operators_and_losses_of_mmdet(project):
    assert compiled_ops_problem() is None
    (project.folder / 'with_mmdet.py').write_text(WITH_MMDET)
    output = project.run(
        *('train.py', 'with_mmdet.py', '--work-dir', 'with_mmdet', '--seed', '0'),
        *('--cfg-options', 'train_cfg.max_epochs=3', 'train_cfg.val_interval=3'),
        'optim_wrapper.optimizer.eps=1e-8',
    )
    steps = [x for x in output.splitlines() if 'Epoch(train)' in x]
    # The first epoch is the warm-up of the backbone.
    assert 'loss_warmup_cls:' in steps[0]
    values = {
        name: [float(v) for v in re.findall(rf'loss_{name}: ([\d.]+)', output)]
        for name in LOSSES
    }
    assert all(len(found) == len(steps) * 2 // 3 for found in values.values()), values
    assert all(x < 100 for found in values.values() for x in found), values
    # Classes start out improbable; learning the background is what comes first.
    assert values['coarse_cls'][0] < 2 and values['refine_cls'][0] < 2
    assert values['coarse_cls'][-1] < values['coarse_cls'][0]
    tested = project.run('test.py', 'with_mmdet.py', 'with_mmdet/epoch_3.pth')
    assert metrics(tested) == metrics(output)
