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
def run_tool(repo_root, monkeypatch):
    """Runs a tool; gives its exit code."""

    def _run(name, *arguments):
        tool = repo_root / 'tools' / 'analysis_tools' / name
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(tool), run_name='__main__')
        return caught.value.code

    return _run


@pytest.fixture
def files(tmp_path):
    """Ground truth, detections, and the same as those of windows."""
    found = Segments([[0, 10], [0, 9.5], [20, 30]], [0, 0, 0], [0.9, 0.8, 0.7])
    truth = tmp_path / 'gt.json'
    segments = ([0, 10], [20, 30])
    annotations = [{'segment': segment, 'label': 'a'} for segment in segments]
    database = {'v': {'duration': 30, 'annotations': annotations}}
    truth.write_text(json.dumps({'database': database}))
    dump_detections(tmp_path / 'pred.json', {'v': found}, ['a'])
    dump_windows(tmp_path / 'windows.npz', {'v': found}, {'v': 30.0}, ['a'])
    return truth, tmp_path / 'pred.json', tmp_path / 'windows.npz'


def test_evaluate_prints_a_table(files, run_tool, capsys):
    options = ('--tious', '0.5:0.9:0.2', '--average-over', '0.5,0.7', '--classwise')
    assert run_tool('evaluate.py', *files[:2], *options) == 0
    text = capsys.readouterr().out
    assert text.count('83.33') == 8
    assert 'average over tIoU 0.5, 0.7' in text
    assert '3 detections, 2 segments, 1 videos' in text
    # Nothing but JSON goes to standard output.
    assert run_tool('evaluate.py', *files[:2], '--tious', '0.5', '--json') == 0
    content = json.loads(capsys.readouterr().out)
    assert content['mAP'] == [pytest.approx(5 / 6)] and content['average_over'] == [0.5]
    assert content['counts']['videos'] == 1 and content['protocol'] is None


def test_analyze_prints_and_writes(files, run_tool, capsys, tmp_path):
    out = tmp_path / 'out'
    edges = ('--length-edges', 5, 15)
    assert run_tool('analyze_detections.py', *files[:2], '--out', out, *edges) == 0
    text = capsys.readouterr().out
    assert f'wrote {out / "report.html"}' in text
    content = json.loads((out / 'diagnosis.json').read_text())
    assert content['kinds']['double_detection'] == [1] * 5
    assert content['buckets'][0]['buckets'] == ['S: 5 - 15 s']
    assert 'pred.json against gt.json' in (out / 'report.html').read_text()


def test_sweep_names_the_best_setting(files, run_tool, capsys):
    options = ('--methods', 'none', 'hard', '--iou-thresholds', '0.5')
    assert run_tool('sweep_nms.py', files[0], files[2], *options) == 0
    text = capsys.readouterr().out
    assert "best: nms=dict(method='hard', iou_threshold=0.5, min_score=0.001)" in text


def test_the_map_of_each_setting_is_the_one_computed_by_hand(files, run_tool, capsys):
    options = ('--methods', 'none', 'hard', 'gaussian', '--sigmas', '0.5,0.001')
    options += ('--iou-thresholds', '0.5,0.96', '--tious', '0.5', '--json')
    assert run_tool('sweep_nms.py', files[0], files[2], *options) == 0
    rows = json.loads(capsys.readouterr().out)
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


def test_unusable_sweeps_are_refused_before_anything_runs(files, run_tool, capsys):
    refused = {
        ('--sigmas', '0'): "thresholds '0': not in (0, 1]",
        ('--methods', 'soft'): "invalid choice: 'soft'",
        ('--min-scores', '-1'): 'min_score must be >= 0, got -1.0',
        ('--max-per-video', '0'): 'max_per_video=0 must be >= 1 or None',
    }
    for options, message in refused.items():
        assert run_tool('sweep_nms.py', 'none.json', 'none.npz', *options) == 2
        assert message in capsys.readouterr().err
    files[0].write_text(files[0].read_text().replace('"v"', '"w"'))
    assert run_tool('sweep_nms.py', files[0], files[2]) == 2
    assert 'have no video in common' in capsys.readouterr().err


def test_bad_input_is_one_message(files, run_tool, capsys):
    assert run_tool('evaluate.py', *files[:2], '--tious', 'x') == 2
    assert "tIoU thresholds 'x'" in capsys.readouterr().err
    assert run_tool('sweep_nms.py', *files[:2]) == 2
    assert 'windows_path' in capsys.readouterr().err
    assert run_tool('browse_dataset.py', 'none.py', '--out', files[0].parent) == 2
    assert 'none.py does not exist' in capsys.readouterr().err


def test_the_picture_of_a_detection_file(files, run_tool, tmp_path):
    out = tmp_path / 'out.png'
    options = ('--videos', tmp_path, '--out', out)
    assert run_tool('plot_timeline.py', *files[:2], *options) == 0
    assert cv2.imread(str(out)).shape[1] == 1600
    plot_timelines(*files[:2], out, video_ids=['v'])
    with pytest.raises(ValueError, match='gt.json has no video c'):
        plot_timelines(*files[:2], out, video_ids=['v', 'c'])
    files[1].write_text('{"results": {"z": []}}')
    with pytest.raises(ValueError, match='none of the videos'):
        plot_timelines(*files[:2], out)
