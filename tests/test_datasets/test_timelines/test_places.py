"""Windows of background find their place in a recording."""

from __future__ import annotations

import dataclasses

import av
import numpy as np
import pytest

from mmtal_mts.datasets.timelines import (
    Clip,
    TimelineSettings,
    place_background,
    plan_timelines,
)

FPS = 10


@pytest.fixture
def boxed(tmp_path):
    """A recording: two actions with boxes of their own, and windows before each."""
    frames = np.full((10, 32, 96, 3), 90, np.uint8)
    for name, width, count in (
        *(('act1', 32, 10), ('act2', 64, 10), ('w1', 32, 4), ('w2', 32, 4)),
        *(('w3', 64, 4), ('w4', 64, 4), ('w5', 96, 4)),
    ):
        cut = np.ascontiguousarray(frames[:count, :, :width])
        write_frames(tmp_path / f'{name}.mp4', cut)
    paths = {path.stem: str(path) for path in tmp_path.glob('*.mp4')}
    # Labels are frames 22..28 and 42..48.
    clips = [
        Clip('act1', paths['act1'], 'g', ((0.2, 0.8, 'run'),), 20, 30),
        Clip('act2', paths['act2'], 'g', ((0.2, 0.8, 'run'),), 40, 50),
    ]
    names = ('w1', 'w2', 'w3', 'w4', 'w5')
    return clips + [Clip(name, paths[name], 'g', ()) for name in names]


def write_frames(path, frames):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())


def test_background_finds_its_place_by_its_crop(boxed):
    clips = place_background(boxed)
    placed = {c.clip_id: (c.source_start, c.source_end) for c in clips}
    # Eight frames in the middle of 0..22, and eight of 28..42.
    assert placed['w1'] == (7, 11) and placed['w2'] == (11, 15)
    assert placed['w3'] == (31, 35) and placed['w4'] == (35, 39)
    # No action has this box.
    assert placed['w5'] == (None, None)
    (timeline,) = plan_timelines(clips, TimelineSettings(folds=1))
    shown = [p.clip.clip_id for p in timeline.parts if p.clip.clip_id != 'w5']
    assert shown == ['w1', 'w2', 'act1', 'w3', 'w4', 'act2']
    assert all(part.background_s is None for part in timeline.parts)


def test_a_gap_holds_no_more_windows_than_fit(boxed):
    first = dataclasses.replace(boxed[0], source_start=4, source_end=14)
    placed = place_background([first, *boxed[1:]])
    known = [c.clip_id for c in placed if c.source_start is not None]
    # Six frames before the first label have room for one window of four.
    assert known == ['act1', 'act2', 'w1', 'w3', 'w4']
