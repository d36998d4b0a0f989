"""The complete model on real video files, through the command line tools.

One tiny data set and one training serve all tests of this file.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from mmtal_mts.utils import run_tool


def metrics(output: str) -> dict[str, float]:
    """The last metrics that were logged."""
    line = [x for x in output.splitlines() if 'mAP@0.30:' in x][-1]
    return {k: float(v) for k, v in re.findall(r'(mAP\S*): ([0-9.]+)', line)}


def logged_losses(work_dir: Path) -> list[dict[str, float]]:
    """The losses of each iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {key: value for key, value in entry.items() if 'loss' in key}
        for entry in entries
        if 'loss' in entry
    ]


@pytest.fixture
def in_process(project, load_tool, monkeypatch, capsys):
    """Runs a tool in this process: its exit code and its message."""

    def run(name, *args):
        monkeypatch.chdir(project.folder)
        monkeypatch.setattr('sys.argv', [name, *args])
        code = run_tool(load_tool(name).main)
        return code, capsys.readouterr().err.rpartition('error: ')[2]

    return run


@pytest.fixture(scope='module')
def trained(project):
    """Output and work dir of one uninterrupted training."""
    work_dir = project.folder / 'trained'
    code, output = project.run(
        *project.tool('train.py', 'config.py', '--work-dir', str(work_dir)),
        *('--seed', '0'),
    )
    assert code == 0, output
    return work_dir, output


def test_training_logs_every_loss_and_keeps_checkpoints(trained):
    work_dir, output = trained
    lines = [x for x in output.splitlines() if 'Epoch(train)' in x]
    assert 'loss_warmup_cls:' in lines[0] and 'loss_coarse_cls:' not in lines[0]
    line = lines[-1]
    assert 'warmup' not in line
    for name in (
        'loss_coarse_cls',
        'loss_coarse_loc',
        'loss_refine_cls',
        'loss_refine_loc',
        'loss_quality',
        'eta',
        'lr',
    ):
        assert f'{name}:' in line, line
    assert (work_dir / 'epoch_2.pth').exists()
    assert set(metrics(output)) >= {'mAP@0.30', 'mAP@0.70', 'mAP'}


def test_test_repeats_validation_and_writes_detections(project, trained):
    work_dir, output = trained
    dumped = project.folder / 'detections.json'
    code, tested = project.run(
        *project.tool('test.py', 'config.py', str(work_dir / 'epoch_2.pth')),
        *('--cfg-options', f'test_evaluator.dump_path={dumped}'),
    )
    assert code == 0, tested
    assert metrics(tested) == metrics(output)
    results = json.loads(dumped.read_text())['results']
    database = json.loads((project.data / 'annotations.json').read_text())['database']
    assert set(results) == {k for k, v in database.items() if v['subset'] == 'test'}
    for video, detections in results.items():
        for detection in detections:
            start, end = detection['segment']
            assert 0 <= start <= end <= database[video]['duration']
            assert 0 < detection['score'] <= 1


def test_two_processes_give_the_same_map(project, trained):
    work_dir, output = trained
    code, tested = project.run(
        'bash',
        str(project.tools / 'dist_test.sh'),
        'config.py',
        str(work_dir / 'epoch_2.pth'),
        '2',
        *('--cfg-options', 'test_dataloader.batch_size=1'),
    )
    assert code == 0, tested
    assert metrics(tested) == metrics(output)


def test_two_machines_train_as_one_process_does(project, trained):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    work_dir = project.folder / 'distributed'
    jobs = [
        project.start(
            *('env', 'NNODES=2', f'NODE_RANK={rank}', f'PORT={port}'),
            *('bash', str(project.tools / 'dist_train.sh'), 'config.py', '1'),
            *('--work-dir', str(work_dir), '--seed', '0'),
            *('--cfg-options', 'train_dataloader.batch_size=1'),
        )
        for rank in range(2)
    ]
    outputs = [job.communicate(timeout=240)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs[0]
    assert 'mAP' in metrics(outputs[0])
    assert (work_dir / 'epoch_2.pth').exists()
    alone, together = logged_losses(trained[0]), logged_losses(work_dir)
    assert len(alone) == len(together)
    # The backbone alone, then everything. Rounding grows from step to step of Adam.
    both = alone[:9]
    assert 'loss_warmup_cls' in both[0] and 'loss_quality' in both[-1]
    for one, two in zip(both, together[:9], strict=True):
        assert two == pytest.approx(one, rel=2e-5)


@pytest.mark.parametrize(
    'option, words',
    [
        ('model.neck.pyramid.spatial_sizes=(3,2)', ['spatial_sizes[0]=3']),
        ('train_dataloader.dataset.ann_file=absent.json', ['absent.json']),
        ('train_dataloader.dataset.data_prefix.video=nowhere', ['nowhere']),
        ('train_dataloader.dataset.subsets=tset', ["'tset'", 'training', 'test']),
        ('model.refine_head.num_classes=9', ['num_classes']),
    ],
)
def test_what_does_not_fit_is_one_message(project, in_process, option, words):
    code, error = in_process(
        'train.py', 'config.py', '--work-dir', 'bad', '--cfg-options', option
    )
    assert code == 2, error
    for word in words:
        assert word in error, error


def test_checkpoint_of_another_architecture(project, trained, in_process):
    code, error = in_process(
        *('test.py', 'config.py', str(trained[0] / 'epoch_2.pth')),
        *('--cfg-options', 'model.neck.pyramid.num_levels=4'),
        *('model.neck.stt.num_levels=4', 'model.coarse_head.num_levels=4'),
        'model.coarse_head.distance_factors=(4,8,16,32)',
    )
    assert code == 2, error
    assert 'epoch_2.pth is of another architecture' in error
