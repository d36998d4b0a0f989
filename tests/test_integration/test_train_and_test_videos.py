"""The complete model on real video files, through the command line tools.

One tiny data set and one training serve all tests of this file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from toy_runner import ROOT, free_port, start_child

from mmtal_mts.utils import run_tool


def metrics(output: str) -> dict[str, float]:
    """The last metrics that were logged."""
    line = [x for x in output.splitlines() if 'mAP@0.30:' in x][-1]
    return {k: float(v) for k, v in re.findall(r'(mAP\S*): ([0-9.]+)', line)}


def logged_losses(work_dir: Path) -> list[dict[str, float]]:
    """The losses of each iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    entries = map(json.loads, path.read_text().splitlines())
    return [
        {key: value for key, value in entry.items() if 'loss' in key}
        for entry in entries
        if 'loss' in entry
    ]


@pytest.fixture(scope='module')
def trained(project):
    """Output and work dir of one uninterrupted training."""
    options = ('--work-dir', 'trained', '--seed', '0')
    return project.folder / 'trained', project.run('train.py', 'config.py', *options)


def test_training_logs_every_loss_and_keeps_checkpoints(trained):
    work_dir, output = trained
    first, *_, last = (x for x in output.splitlines() if 'Epoch(train)' in x)
    assert 'loss_warmup_cls:' in first and 'loss_coarse_cls:' not in first
    assert 'warmup' not in last
    parts = 'coarse_cls', 'coarse_loc', 'refine_cls', 'refine_loc', 'quality'
    for name in ('eta', 'lr', *(f'loss_{part}' for part in parts)):
        assert f'{name}:' in last
    assert (work_dir / 'epoch_2.pth').exists()
    assert set(metrics(output)) >= {'mAP@0.30', 'mAP@0.70', 'mAP'}


def test_test_repeats_validation_and_writes_detections(project, trained):
    dumped = project.folder / 'detections.json'
    tested = project.run(
        *('test.py', 'config.py', 'trained/epoch_2.pth'),
        *('--cfg-options', f'test_evaluator.dump_path={dumped}'),
    )
    assert metrics(tested) == metrics(trained[1])
    results = json.loads(dumped.read_text())['results']
    database = json.loads((project.folder / 'data/annotations.json').read_text())[
        'database'
    ]
    assert set(results) == {k for k, v in database.items() if v['subset'] == 'test'}
    for video, detections in results.items():
        for detection in detections:
            start, end = detection['segment']
            assert 0 <= start <= end <= database[video]['duration']
            assert 0 < detection['score'] <= 1


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
    assert (work_dir / 'epoch_2.pth').exists()
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
