"""Raw outputs of windows on disk, and their fusion."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config

from mmtal_mts.evaluation.metrics.raw_outputs import (
    RawOutputFolder,
    RawWindow,
    WindowKey,
    is_raw_folder,
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


FACTS = dict(
    num_frames=32, sample_fps=10.0, duration=7.5, broken=False, video_scores=None
)


def raw_window(num_locations=5, num_logits=4, **facts):
    rng = np.random.default_rng(0)
    shapes = dict(
        points=(num_locations,),
        coarse_distances=(num_locations, 2),
        coarse_logits=(num_locations, num_logits),
        refine_offsets=(num_locations, 2),
        refine_logits=(num_locations, num_logits),
        quality_logits=(num_locations,),
    )
    outputs = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return RawWindow(outputs, dict(FACTS, **facts))


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
    scores = dict(labels=[1], scores=[0.5])
    facts = dict(FACTS, num_frames=40, duration=4.0, video_scores=scores)
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


def test_differences_of_windows_are_named(tool):
    def differences(**changes):
        return tool.differences(raw_window(), raw_window(**changes))

    assert differences() == []
    assert differences(sample_fps=12.0, num_frames=64) == [
        'num_frames 32 and 64',
        'sample_fps 10 and 12',
    ]
    assert differences(duration=None) == ['duration 7.5 and None']
    assert tool.differences(raw_window(duration=None), raw_window(duration=None)) == []
    assert differences(num_logits=3) == [
        f'{name}_logits of shape (5, 4) and (5, 3)' for name in ('coarse', 'refine')
    ]
    moved = raw_window()
    moved.outputs['points'] += 1
    assert tool.differences(raw_window(), moved) == ['other location centres']


@pytest.mark.parametrize(
    'video_id', ['v', 'a/b', '../up', 'two words @ 1', 'ü%20', '.hidden', 'CON']
)
def test_round_trip_with_any_id(tmp_path, video_id):
    scores = dict(labels=[3, 1], scores=[0.5, 0.25])
    key, written = WindowKey(video_id, 1280), raw_window(video_scores=scores)
    folder = tmp_path / 'run' / 'raw'
    write_window(folder, key, written)
    assert not is_raw_folder(folder)
    write_index(folder, [key, key], dict(classes=('a', 'b')))
    raw = RawOutputFolder(folder)
    assert is_raw_folder(folder)
    assert raw.keys == [key] and raw.dataset_meta == dict(classes=['a', 'b'])
    read = raw.load(key)
    assert read.facts == written.facts
    for name, value in written.outputs.items():
        assert read.outputs[name].dtype == np.float32
        np.testing.assert_array_equal(read.outputs[name], value)
    # Everything is in the folder, and nothing unfinished.
    assert (
        sorted(p.parent for p in tmp_path.rglob('*.*') if p.is_file()) == [folder] * 2
    )
    assert not list(tmp_path.rglob('*.partial'))


def test_windows_are_ordered_and_ids_do_not_collide(tmp_path):
    keys = [WindowKey('a/b', 0), WindowKey('a%2Fb', 0), WindowKey('a', 128)]
    keys.append(WindowKey('a', 64))
    for i, key in enumerate(keys):
        write_window(tmp_path, key, raw_window(duration=float(i)))
    write_index(tmp_path, keys, {})
    raw = RawOutputFolder(tmp_path)
    assert raw.keys == sorted(keys)
    assert [raw.load(key).facts['duration'] for key in keys] == [0, 1, 2, 3]


def test_unfinished_damaged_and_inconsistent_folders(tmp_path):
    key = WindowKey('v', 0)
    write_window(tmp_path, key, raw_window())
    with pytest.raises(FileNotFoundError, match='index.json is missing.*--dump-raw'):
        RawOutputFolder(tmp_path)
    write_index(tmp_path, [key, WindowKey('gone', 64)], {})
    raw = RawOutputFolder(tmp_path)
    with pytest.raises(ValueError, match='window gone at sampled frame 64 is listed'):
        raw.load(WindowKey('gone', 64))
    path = tmp_path / 'v@0000000.npz'
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='window v at sampled frame 0 .*read'):
        raw.load(key)
    mixed = raw_window()
    mixed.outputs['quality_logits'] = np.zeros(3)
    write_window(tmp_path, key, mixed)
    with pytest.raises(ValueError, match='do not belong together'):
        raw.load(key)
    (tmp_path / 'index.json').write_text(json.dumps(dict(windows=3)))
    with pytest.raises(ValueError, match='index.json: not a list of windows'):
        RawOutputFolder(tmp_path)


def test_no_pickle_is_ever_read(tmp_path):
    key = WindowKey('v', 0)
    write_window(tmp_path, key, raw_window())
    write_index(tmp_path, [key], {})
    arrays = dict(raw_window().outputs, facts=np.array({'a': 1}, dtype=object))
    np.savez(tmp_path / 'v@0000000.npz', **arrays)
    with pytest.raises(ValueError, match='allow_pickle=False'):
        RawOutputFolder(tmp_path).load(key)
