from __future__ import annotations

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.apis import writers
from mmtal_mts.apis.writers import Selection, VideoResult, cues
from mmtal_mts.evaluation.functional.detections import load_detections
from mmtal_mts.structures import Segments
from mmtal_mts.utils import UserError

CLASSES = ('run', 'jump', 'sit')
ALL = Selection(0.0, None)


def result(*rows, classes=CLASSES):
    """``rows`` are start, end, label and score."""
    table = np.array(sorted(rows, key=lambda row: -row[3])).reshape(-1, 4)
    found = Segments(table[:, :2], *table.T[2:])
    return VideoResult('v', 100.0, found, classes=tuple(classes))


EXAMPLE = result((1.0, 5.0, 0, 0.9), (3.0, 8.0, 1, 0.7), (3.5, 4.0, 0, 0.4))


@pytest.fixture
def written(tmp_path):
    """Text of the file that a writer makes."""

    def write(kind, shown, name, selection=ALL):
        path = tmp_path / 'sub' / name
        getattr(writers, f'write_{kind}')(shown, path, selection)
        return path.read_bytes().decode('utf-8')

    return write


def test_cues_name_all_that_happens():
    assert cues(EXAMPLE) == [
        (1000, 3000, {'run': 0.9}),
        (3000, 5000, {'run': 0.9, 'jump': 0.7}),
        (5000, 8000, {'jump': 0.7}),
    ]
    assert cues(result()) == []
    # Players count from the beginning of the sound.
    late = replace(EXAMPLE, first_frame_s=0.25)
    assert [cue[:2] for cue in cues(late)] == [(1250, 3250), (3250, 5250), (5250, 8250)]
    # Shorter than a millisecond.
    assert cues(result((1.0, 1.0001, 0, 0.5))) == []


NUMBERS = st.integers(0, 60), st.integers(1, 40), st.integers(0, 2), st.floats(0, 1)


@given(st.lists(st.tuples(*NUMBERS), max_size=15))
def test_cues_are_disjoint_and_cover_the_detections(rows):
    shown = result(*[(s / 4, (s + n) / 4, label, p) for s, n, label, p in rows])
    found = cues(shown)
    for (_, end, _), (start, _, _) in zip(found, found[1:], strict=False):
        assert end <= start
    for time in np.arange(0.1, 26, 0.25):
        wanted = {}
        for start, end, name, score in shown.rows():
            if start <= time < end:
                wanted[name] = max(score, wanted.get(name, 0))
        active = [best for start, end, best in found if start <= time * 1000 < end]
        assert active == ([wanted] if wanted else [])


def test_srt(written):
    assert written('subtitles', EXAMPLE, 'v.srt', Selection(0.5)) == (
        '1\n00:00:01,000 --> 00:00:03,000\nrun (0.90)\n\n'
        '2\n00:00:03,000 --> 00:00:05,000\nrun (0.90)\njump (0.70)\n\n'
        '3\n00:00:05,000 --> 00:00:08,000\njump (0.70)\n'
    )
    assert written('subtitles', result(), 'v.srt') == ''
    # Times are rounded to milliseconds.
    assert written('subtitles', result((0, 0.0004, 0, 1.0)), 'v.srt') == ''
    for seconds, end in (
        (3723.4567, '01:02:03,457'),
        (59.9996, '00:01:00,000'),
        (360000, '100:00:00,000'),
    ):
        found = written('subtitles', result((0, seconds, 0, 1.0)), 'v.srt')
        assert found.startswith(f'1\n00:00:00,000 --> {end}\n')


def test_vtt_escapes(written):
    names = ('<b>a</b> & b', 'x --> y', 'two\nlines\n\n00:01 --> 00:02')
    shown = result((0, 1, 0, 0.9), (0, 1, 1, 0.8), (0, 1, 2, 0.7), classes=names)
    assert written('subtitles', result(), 'v.vtt') == 'WEBVTT\n'
    assert written('subtitles', shown, 'v.vtt') == (
        'WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n'
        '&lt;b&gt;a&lt;/b&gt; &amp; b (0.90)\nx → y (0.80)\n'
        'two lines 00:01 → 00:02 (0.70)\n'
    )


def test_csv_reads_back(written):
    names = ('a, "b"', 'jump\nhigh', 'ü')
    shown = result((2, 3, 1, 0.5), (1, 2, 0, 0.4), classes=names)
    lines = written('csv', shown, 'v.csv').splitlines(keepends=True)
    assert list(csv.reader(lines)) == [
        ['video', 'start', 'end', 'label', 'score'],
        ['v', '1.000', '2.000', 'a, "b"', '0.4000'],
        ['v', '2.000', '3.000', 'jump\nhigh', '0.5000'],
    ]
    assert written('csv', result(), 'v.csv') == 'video,start,end,label,score\r\n'


def test_json_is_not_rounded(written, tmp_path):
    written('json', result((1 / 3, 2 / 3, 1, 1 / 7)), 'v.json')
    (found,) = load_detections(tmp_path / 'sub/v.json', CLASSES).values()
    assert found.segments.tolist() == [[1 / 3, 2 / 3]]
    assert (found.scores[0], found.labels[0]) == (1 / 7, 1)
    written('json', result(), 'v.json')
    assert not len(load_detections(tmp_path / 'sub/v.json', CLASSES)['v'])


def test_timeline_picture_with_and_without_frames(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 20, times=np.linspace(0, 30, 20))
    for source, name in ((path, 'with.png'), (None, 'without.png')):
        shown = replace(EXAMPLE, path=source, duration=30.0)
        writers.write_timeline(shown, tmp_path / name, Selection())
    frames, plain = (cv2.imread(str(p)) for p in sorted(tmp_path.glob('*.png')))
    assert len(frames) > len(plain) + 60


def test_selection():
    for options, scores in (
        ({}, [0.9, 0.7, 0.4]),
        (dict(score_thr=0.7), [0.9, 0.7]),
        (dict(top_k=1), [0.9]),
        (dict(classes=('run',)), [0.9, 0.4]),
        (dict(classes=('sit',)), []),
    ):
        assert Selection(**options)(EXAMPLE).detections.scores.tolist() == scores
    with pytest.raises(UserError, match="'swim' is unknown; the model knows run, jump"):
        Selection(classes=('swim',))(EXAMPLE)
    with pytest.raises(UserError, match='top_k must be at least 1'):
        Selection(top_k=0)
    with pytest.raises(UserError, match='score_thr must be in 0..1'):
        Selection(score_thr=1.5)
