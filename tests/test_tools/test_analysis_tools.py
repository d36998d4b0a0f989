"""The commands in tools/analysis_tools, in this process."""

from __future__ import annotations

import json
import runpy
import sys

import cv2
import pytest

from mmtal_mts.apis.writers import plot_timelines
from mmtal_mts.evaluation import dump_detections
from mmtal_mts.evaluation.functional.detections import dump_windows
from mmtal_mts.structures import Segments


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Ground truth, detections, and the same as those of windows, in this folder."""
    monkeypatch.chdir(tmp_path)
    found = Segments([[0, 10], [0, 9.5], [20, 30]], [0, 0, 0], [0.9, 0.8, 0.7])
    annotations = [{'segment': s, 'label': 'a'} for s in ([0, 10], [20, 30])]
    for name, video_id in (('gt.json', 'v'), ('other.json', 'w')):
        database = {video_id: {'duration': 30, 'annotations': annotations}}
        (tmp_path / name).write_text(json.dumps({'database': database}))
    dump_detections('pred.json', {'v': found}, ['a'])
    dump_windows('windows.npz', {'v': found}, {'v': 30.0}, ['a'])
    return tmp_path


@pytest.fixture
def run(files, repo_root, monkeypatch, capsys):
    """Runs a command line there; gives its exit code, and its output or its errors."""

    def _run(command, *more):
        name, *arguments = command.split()
        tool = repo_root / 'tools' / 'analysis_tools' / f'{name}.py'
        monkeypatch.setattr(sys, 'argv', [str(tool), *arguments, *map(str, more)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(tool), run_name='__main__')
        captured = capsys.readouterr()
        return caught.value.code, captured.err if caught.value.code else captured.out

    return _run


def test_evaluate_prints_a_table_or_nothing_but_json(run):
    options = '--tious 0.5:0.9:0.2 --average-over 0.5,0.7 --classwise'
    code, text = run(f'evaluate gt.json pred.json {options}')
    assert code == 0 and text.count('83.33') == 8
    assert 'average over tIoU 0.5, 0.7' in text
    assert '3 detections, 2 segments, 1 videos' in text
    content = json.loads(run('evaluate gt.json pred.json --tious 0.5 --json')[1])
    assert content['mAP'] == [pytest.approx(5 / 6)] and content['average_over'] == [0.5]
    assert content['counts']['videos'] == 1 and content['protocol'] is None


def test_analyze_prints_and_writes(run, files):
    out = files / 'out'
    options = ('--length-edges', 5, 15)
    code, text = run('analyze_detections gt.json pred.json --out', out, *options)
    assert code == 0 and f'wrote {out / "report.html"}' in text
    content = json.loads((out / 'diagnosis.json').read_text())
    assert content['kinds']['double_detection'] == [1] * 5
    assert content['buckets'][0]['buckets'] == ['S: 5 - 15 s']
    assert 'pred.json against gt.json' in (out / 'report.html').read_text()


def test_sweep_names_the_best_of_the_settings_computed_by_hand(run):
    options = '--methods none hard gaussian --sigmas 0.5,0.001 --tious 0.5'
    command = f'sweep_nms gt.json windows.npz {options} --iou-thresholds 0.5,0.96'
    best = "best: nms=dict(method='hard', iou_threshold=0.5, min_score=0.001)"
    assert best in run(command)[1]
    rows = json.loads(run(f'{command} --json')[1])
    # Found at rank 1 and, behind the double detection, 3: (1 + 2/3) / 2.
    double = (1 + 2 / 3) / 2
    assert [(row['nms'], row['average'], row['detections']) for row in rows] == [
        (None, double, 3),
        ({'method': 'hard', 'iou_threshold': 0.5, 'min_score': 0.001}, 1.0, 2),
        # The tIoU of the two is 0.95.
        ({'method': 'hard', 'iou_threshold': 0.96, 'min_score': 0.001}, double, 3),
        # 0.8 * exp(-0.95 ** 2 / 0.5) = 0.13 stands behind 0.7.
        ({'method': 'gaussian', 'sigma': 0.5, 'min_score': 0.001}, 1.0, 3),
        ({'method': 'gaussian', 'sigma': 0.001, 'min_score': 0.001}, 1.0, 2),
    ]


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('evaluate gt.json pred.json --tious x', "tIoU thresholds 'x'"),
        ('sweep_nms gt.json pred.json', 'windows_path'),
        ('sweep_nms other.json windows.npz', 'have no video in common'),
        # These are refused before anything is read.
        ('sweep_nms no no --sigmas 0', "thresholds '0': not in (0, 1]"),
        ('sweep_nms no no --methods soft', "invalid choice: 'soft'"),
        ('sweep_nms no no --min-scores -1', 'min_score must be >= 0, got -1.0'),
        ('sweep_nms no no --max-per-video 0', 'max_per_video=0 must be >= 1 or None'),
        ('browse_dataset none.py --out .', 'none.py does not exist'),
    ],
)
def test_bad_input_is_one_message(run, command, message):
    code, errors = run(command)
    assert code == 2 and message in errors


def test_the_picture_of_a_detection_file(run, files):
    out, pair = files / 'out.png', (files / 'gt.json', files / 'pred.json')
    assert run('plot_timeline gt.json pred.json --videos . --out', out)[0] == 0
    assert cv2.imread(str(out)).shape[1] == 1600
    plot_timelines(*pair, out, video_ids=['v'])
    with pytest.raises(ValueError, match='gt.json has no video c'):
        plot_timelines(*pair, out, video_ids=['v', 'c'])
    pair[1].write_text('{"results": {"z": []}}')
    with pytest.raises(ValueError, match='none of the videos'):
        plot_timelines(*pair, out)
