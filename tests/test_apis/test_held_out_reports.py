"""Pages of held-out videos, made from the files that a training leaves behind."""

from __future__ import annotations

import json
import re

import pytest

from mmtal_mts.apis.held_out_reports import write_held_out_reports
from mmtal_mts.evaluation.functional import Detections, dump_detections


def page_data(path):
    text = path.read_text(encoding='utf-8')
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


@pytest.fixture
def run(tmp_path, make_video):
    """Two held-out videos, one of which is torn, and one for training."""
    videos = tmp_path / 'videos'
    (videos / 'more').mkdir(parents=True)
    make_video(videos / 'more' / 'a.mp4', 40, 10)
    make_video(videos / 'c.mp4', 10, 10)
    (videos / 'torn.mp4').write_bytes(b'no video')
    database = {
        name: dict(
            subset=subset,
            file=file,
            duration=4.0,
            fps=10,
            annotations=[dict(segment=[1.0, 9.0], label=label)],
        )
        for name, subset, file, label in (
            ('first one', 'validation', 'more/a.mp4', 'wave'),
            ('torn', 'validation', 'torn.mp4', 'jump'),
            ('c', 'training', 'c.mp4', 'jump'),
        )
    }
    annotations = tmp_path / 'annotations.json'
    annotations.write_text(json.dumps(dict(database=database)))
    found = Detections(
        [[1.0, 3.0], [0.0, 1.0], [2.0, 3.0]], [0.9, 0.119, 0.08], [1, 0, 0]
    )
    dump_detections(tmp_path / 'found.json', {'first one': found}, ['jump', 'wave'])
    return annotations, tmp_path / 'found.json', videos


def test_each_held_out_video_gets_a_page_with_truth_beside_detections(run, tmp_path):
    said = []
    pages = write_held_out_reports(
        *run, tmp_path / 'out', subset='validation', say=said.append
    )
    assert pages == [tmp_path / 'out' / 'a.html']
    assert list((tmp_path / 'out').iterdir()) == pages
    data = page_data(pages[0])
    # What reaches out of the video is cut.
    assert data['truth'] == [dict(start=1.0, end=4.0, label=1)]
    best, weak, _ = data['detections']
    assert (best['start'], best['end'], best['label']) == (1.0, 3.0, 1)
    assert best['tiou'] == pytest.approx(2 / 3, abs=1e-3)
    assert weak['score'] == 0.119
    # Two actions are annotated: the slider shows the two best detections.
    assert data['threshold'] == 0.11
    assert [c['name'] for c in data['classes'].values()] == ['jump', 'wave']
    # The broken one is told of, and does not stop the others.
    assert len(said) == 1
    assert re.match('no report of torn: .*torn.mp4: cannot be opened', said[0])


def test_without_a_detection_the_truth_is_shown(run, tmp_path):
    dump_detections(run[1], {}, ['jump', 'wave'])
    (page,) = write_held_out_reports(*run, tmp_path / 'out', subset='training')
    assert page_data(page)['detections'] == []
    assert page_data(page)['threshold'] == 0.2
    assert len(page_data(page)['truth']) == 1
