"""Fusion of saved outputs where a video classifier names the classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config

from mmtal_mts.evaluation.metrics.raw_outputs import (
    RawWindow,
    WindowKey,
    write_index,
    write_window,
)
from mmtal_mts.utils import UserError

HEAD = dict(
    type='BoundaryRefineHead',
    num_classes=1,
    channels=32,
    loss_cls=dict(type='SoftmaxFocalLoss'),
    loss_loc=dict(type='SegmentSmoothL1Loss'),
    loss_quality=dict(type='QualityBCELoss'),
)
META = dict(classes=('action',), video_classes=('run', 'jump'))


def write_stream(folder, start, end, sure):
    """One location at frame 20 that sees an action from ``start`` to ``end``."""
    logits = [[sure, -sure]]
    outputs = dict(
        points=[20.0],
        coarse_distances=[[20.0 - start, end - 20.0]],
        coarse_logits=logits,
        refine_offsets=[[0.0, 0.0]],
        refine_logits=logits,
        quality_logits=[50.0],
    )
    facts = dict(
        num_frames=40,
        sample_fps=10.0,
        duration=4.0,
        broken=False,
        video_scores=dict(labels=[1], scores=[0.5]),
    )
    key = WindowKey('v', 0)
    write_window(folder, key, RawWindow(outputs, facts))
    write_index(folder, [key], META)
    return folder


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('fuse_streams.py')


@pytest.fixture
def cfg(tmp_path):
    video = dict(duration=4.0, subset='val')
    video['annotations'] = [dict(segment=[1.0, 3.0], label='jump')]
    ann = tmp_path / 'ann.json'
    content = dict(database=dict(v=video), classes=META['video_classes'])
    ann.write_text(json.dumps(content))
    return Config(
        dict(
            model=dict(refine_head=HEAD, test_cfg=dict(score_thr=0.0, nms=None)),
            test_evaluator=dict(
                type='TALMetric',
                ann_file=str(ann),
                tiou_thresholds=(0.5, 0.95),
                dump_path=str(tmp_path / 'fused.json'),
            ),
        )
    )


def found(tmp_path):
    (entry,) = json.loads((tmp_path / 'fused.json').read_text())['results']['v']
    return entry['label'], entry['score'], entry['segment']


def test_average_in_closed_form_with_the_class_of_the_video(tool, cfg, tmp_path):
    rgb = write_stream(tmp_path / 'rgb', 6.0, 34.0, sure=2.0)
    flow = write_stream(tmp_path / 'flow', 14.0, 26.0, sure=0.0)
    metrics = tool.fuse_streams(cfg, [rgb, flow])
    label, score, segment = found(tmp_path)
    # Logits (2, -2) and (0, 0) are (1, -1); the classifier halves the score.
    assert label == 'jump'
    assert score == pytest.approx(0.5 / (1 + np.exp(-2.0)), abs=1e-6)
    assert segment == pytest.approx([1.0, 3.0])
    assert metrics == {'mAP@0.50': 1.0, 'mAP@0.95': 1.0, 'mAP': 1.0}


def test_weights_and_geometric_mean_in_closed_form(tool, cfg, tmp_path):
    rgb = write_stream(tmp_path / 'rgb', 4.0, 36.0, sure=1.0)
    flow = write_stream(tmp_path / 'flow', 16.0, 25.0, sure=1.0)
    tool.fuse_streams(cfg, [rgb, flow], (3, 1))
    assert found(tmp_path)[2] == pytest.approx([0.7, 3.325])
    cfg.model.test_cfg.fusion = 'geometric'
    tool.fuse_streams(cfg, [rgb, flow])
    assert found(tmp_path)[2] == pytest.approx([0.8, 3.0])
    tool.fuse_streams(cfg, [rgb, flow], (1, 3))
    wanted = [(4 * 16**3) ** 0.25 / 10, (36 * 25**3) ** 0.25 / 10]
    assert found(tmp_path)[2] == pytest.approx(wanted)


def test_config_without_a_metric(tool, cfg, tmp_path):
    cfg.test_evaluator = None
    with pytest.raises(UserError, match='no test_evaluator'):
        tool.fuse_streams(cfg, [tmp_path])


def window(num_locations=5, num_logits=4, **facts):
    outputs = dict(
        points=np.arange(num_locations),
        coarse_logits=np.zeros((num_locations, num_logits)),
        quality_logits=np.zeros(num_locations),
    )
    facts = dict(dict(num_frames=32, sample_fps=10.0, duration=7.5), **facts)
    return RawWindow(outputs, facts)


def test_differences_of_windows_are_named(tool):
    def differences(**changes):
        return tool.differences(window(), window(**changes))

    assert differences() == []
    assert differences(sample_fps=12.0, num_frames=64) == [
        'num_frames 32 and 64',
        'sample_fps 10 and 12',
    ]
    assert differences(duration=None) == ['duration 7.5 and None']
    assert tool.differences(window(duration=None), window(duration=None)) == []
    assert differences(num_logits=3) == ['coarse_logits of shape (5, 4) and (5, 3)']
    moved = window()
    moved.outputs['points'] += 1
    assert tool.differences(window(), moved) == ['other location centres']
