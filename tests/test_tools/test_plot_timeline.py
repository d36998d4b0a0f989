"""The command that draws a detection file."""

from __future__ import annotations

import json
import runpy
import sys

import cv2
import pytest

from mmtal_mts.apis.timeline import plot_timelines

DATABASE = {
    name: {
        'subset': 'test',
        'duration': 8.0,
        'annotations': [{'segment': [1.0, 3.0], 'label': 'run'}],
    }
    for name in ('a', 'b')
}


@pytest.fixture
def files(tmp_path):
    ann, det = tmp_path / 'ann.json', tmp_path / 'det.json'
    ann.write_text(json.dumps({'database': DATABASE}))
    entry = {'label': 'run', 'score': 0.8, 'segment': [1.2, 3.1]}
    det.write_text(json.dumps({'results': {'b': [entry]}}))
    return ann, det


def test_the_command_writes_a_picture(files, tmp_path, repo_root, monkeypatch):
    out = tmp_path / 'out.png'
    tool = str(repo_root / 'tools' / 'analysis_tools' / 'plot_timeline.py')
    arguments = [tool, *map(str, files), '--videos', str(tmp_path), '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(tool, run_name='__main__')
    assert not caught.value.code
    assert cv2.imread(str(out)).shape[1] == 1600


def test_videos_can_be_named_and_unknown_ones_are_refused(files, tmp_path):
    out = tmp_path / 'out.png'
    plot_timelines(*files, out, video_ids=['a', 'b'])
    with pytest.raises(ValueError, match='ann.json has no video c'):
        plot_timelines(*files, out, video_ids=['c'])
    files[1].write_text('{"results": {"z": []}}')
    with pytest.raises(ValueError, match='none of the videos'):
        plot_timelines(*files, out)
