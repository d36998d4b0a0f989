"""Pictures of training windows."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmtal_mts.utils import UserError


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/browse_dataset.py')


@pytest.fixture
def cfg(tmp_path):
    """Two windows of one stored video of 48 frames; augmented, and in a wrapper."""
    levels = np.arange(48, dtype=np.uint8)[:, None, None, None]
    np.save(tmp_path / 'a.npy', np.broadcast_to(levels, (48, 8, 8, 3)))
    actions = (([0.5, 2.5], 'left'), ([3.5, 4.5], 'right'))
    annotations = [dict(segment=segment, label=label) for segment, label in actions]
    database = {'a': {'annotations': annotations}}
    (tmp_path / 'ann.json').write_text(json.dumps({'database': database}))
    files = dict(data_root=str(tmp_path), ann_file='ann.json', source_type='npy')
    windows = dict(sample_fps=10, clip_len=32, window_stride=16)
    pipeline = [
        dict(type='LoadClip'),
        dict(type='FlipClip', flip_ratio=1.0, label_map=dict(left='right')),
        dict(type='CutInsertBackground'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]
    dataset = dict(type='TALDataset', pipeline=pipeline, **files, **windows)
    repeated = dict(type='RepeatDataset', times=2, dataset=dataset)
    loader = dict(dataset=repeated)
    return Config(dict(train_dataloader=loader, default_scope='mmaction'))


@pytest.fixture
def drawn(tool, cfg, tmp_path, monkeypatch):
    """What is to be drawn of a window: timelines, classes and title."""
    found = []

    def render(*timelines_and_classes, title):
        found[:] = *timelines_and_classes, title
        return np.zeros((1, 1, 3), np.uint8)

    def browse(index):
        list(tool.browse(cfg, tmp_path / 'out', indices=[index]))
        return found

    monkeypatch.setattr(tool.visualization, 'render_timelines', render)
    return browse


def test_each_window_becomes_a_picture(tool, cfg, tmp_path):
    paths = list(tool.browse(cfg, tmp_path / 'out', num=3))
    names = ['000000_a_0.png', '000001_a_16.png', '000003_a_16.png']
    assert [path.name for path in paths] == names
    assert {cv2.imread(str(path)).shape[1] for path in paths} == {1600}


def test_a_window_is_drawn_with_its_actions_and_frames(drawn):
    timelines, classes, title = drawn(1)
    assert title == '3 x 32 x 8 x 8, 10 fps'
    # What the augmentation did is in the sample.
    assert timelines[0].video_id == 'a, from 1.6 s, mirrored'
    # The end of the window at frame 48; the action from 3.5 s on starts at 1.9 s.
    truth = timelines[0].ground_truth
    assert classes[truth.labels[-1]] == 'left'
    np.testing.assert_allclose(truth.segments[-1], [1.9, 2.9], atol=1e-6)
    # Frames of the window: as bright as their number.
    time_s, image = timelines[0].frames[0]
    assert image[0, 0, 0] == 16 + int(time_s * 10)


def test_the_rearranged_window_follows_where_there_is_one(drawn, cfg):
    cfg.train_dataloader.dataset.dataset.pipeline[2].divisor = 4
    timelines, classes, _ = drawn(0)
    # Left has become right.
    assert timelines[0].ground_truth.labels.tolist() == [1]
    names = [classes[label] for label in timelines[1].ground_truth.labels]
    assert names == ['part of the cut action'] * 2 + ['inserted background']
    # As many frames in another order.
    plain, moved = ([int(i[0, 0, 0]) for _, i in line.frames] for line in timelines)
    assert len(moved) == len(plain) and moved != sorted(moved)


def test_other_configs_and_windows_are_refused(tool, cfg, tmp_path):
    with pytest.raises(UserError, match='no val_dataloader'):
        list(tool.browse(cfg, tmp_path, 'val'))
    with pytest.raises(UserError, match='windows 0 to 3'):
        list(tool.browse(cfg, tmp_path, indices=[4]))
    cfg.train_dataloader.dataset.dataset.pipeline.pop()
    with pytest.raises(UserError, match='must end with PackTALInputs'):
        list(tool.browse(cfg, tmp_path))
