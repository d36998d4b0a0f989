from __future__ import annotations

import json
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmtal_mts.apis import TALInferencer, prepare_test_config
from mmtal_mts.apis import test as run_test
from mmtal_mts.apis.tal_inferencer import video_settings
from mmtal_mts.datasets.video import VideoReader, VideoReadError
from mmtal_mts.datasets.windows import ArrayReader, video_windows
from mmtal_mts.evaluation.functional.detections import load_detections
from mmtal_mts.utils import UserError


@pytest.fixture
def cfg(tiny_model):
    return Config.fromfile(tiny_model.config)


@pytest.fixture
def make(tiny_model):
    """Makes an inferencer of another config and the weights of the tiny model."""
    return partial(TALInferencer, weights=tiny_model.weights)


def noise(count, size=(24, 40), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)


def as_array(found):
    return np.c_[found.segments, found.scores, found.labels]


def assert_same(found, expected, atol=1e-4):
    assert len(expected.detections)
    pair = (as_array(result.detections) for result in (found, expected))
    np.testing.assert_allclose(*pair, atol=atol)


def test_same_detections_as_the_test_tool(
    inferencer, cfg, tiny_model, make_video, tmp_path
):
    folder = tiny_model.data / 'videos'
    # Longer than a window and not a whole number of strides; shorter; another codec,
    # rate and size.
    make_video(folder / 'long.mp4', 200, 25)
    make_video(folder / 'short.mp4', 30, 30)
    make_video(folder / 'other.avi', 130, 24, codec='mpeg4', size=(64, 48))
    durations = dict(long=8.0, short=1.0, other=130 / 24)
    facts = dict(subset='test', annotations=[dict(segment=[0.1, 0.9], label='grow')])
    database = {name: dict(facts, duration=s) for name, s in durations.items()}
    content = dict(version='1', classes=inferencer.classes, database=database)
    (tiny_model.data / 'annotations.json').write_text(json.dumps(content))
    dump = str(tmp_path / 'detections.json')
    cfg.test_evaluator.dump_path = dump
    work = dict(checkpoint=tiny_model.weights, work_dir=str(tmp_path / 'work'))
    run_test(prepare_test_config(cfg, **work))
    for path in folder.iterdir():
        result = inferencer(path)
        assert result.duration == pytest.approx(durations[path.stem])
        segments = result.detections.segments
        assert segments.min() >= 0 and segments.max() <= result.duration
        rows = as_array(load_detections(dump, inferencer.classes)[path.stem])
        assert len(rows) > 20
        # Batches are made up differently, which costs the last digits.
        pair = as_array(result.detections), rows
        found, wanted = (r[np.lexsort(np.round(r, 3).T[::-1])] for r in pair)
        np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_frames_in_memory_equal_the_video(inferencer, make_video, tmp_path):
    path = make_video(tmp_path / 'v.mkv', 70, 20)
    frames = np.stack([image for _, image in VideoReader(path).frames()])
    expected = inferencer(path)
    for source in (frames, iter(frames)):
        result = inferencer(source, fps=20)
        assert (result.path, result.duration) == (None, 3.5)
        assert_same(result, expected, atol=0)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_result_does_not_depend_on_the_batch_size(inferencer, cfg, make, batch_size):
    other = make(cfg, batch_size=batch_size)
    assert_same(other(noise(75), fps=10), inferencer(noise(75), fps=10))


def test_memory_does_not_grow_with_the_video(inferencer):
    def peak(count):
        frames = (np.full((90, 120, 3), k % 256, np.uint8) for k in range(count))
        tracemalloc.start()
        assert inferencer(frames, fps=50).duration == count / 50
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(100)
    # 300 frames are 10 MB and 2000 are 65 MB; the sampled ones of them 13 MB.
    assert peak(2000) < peak(300) + 2e6


def test_several_inputs_and_progress(inferencer):
    with pytest.raises(UserError, match='need their rate'):
        inferencer(noise(3))
    results = inferencer([noise(40), noise(8)], fps=10)
    assert [result.duration for result in results] == [4.0, 0.8]
    (picture,) = inferencer.visualize([], results[:1], score_thr=0.05)
    assert picture.shape[1:] == (1600, 3) and picture.dtype == np.uint8
    reports = []
    inferencer(noise(80), fps=10, report=lambda *seen: reports.append(seen))
    # Windows at 0, 12, 24, 36 and 48, two at once.
    assert reports == [(2, 5), (4, 5), (5, 5)]


def test_arrays_need_the_size_they_were_made_at(cfg, make):
    cfg.test_dataloader.dataset.update(source_type='npy')
    cfg.test_dataloader.dataset.pipeline.pop(1)
    assert make(cfg, frame_size=40)(noise(20, size=(90, 70)), fps=10)


def test_mixed_precision_is_close(inferencer, cfg, make):
    best = inferencer(noise(32), fps=10).detections.scores[:10]
    found = make(cfg, amp=True)(noise(32), fps=10).detections.scores[:10]
    np.testing.assert_allclose(found, best, rtol=0.1)


def test_actions_without_a_class(cfg, tmp_path):
    cfg.model.coarse_head.num_classes = cfg.model.refine_head.num_classes = 1
    cfg.test_dataloader.dataset.class_agnostic = True
    scores = dict(type='LoadVideoScores', ann_file='not/there.json')
    cfg.test_dataloader.dataset.pipeline.insert(-1, scores)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), weights)
    result = TALInferencer(cfg, weights)(noise(40), fps=10)
    assert result.classes == ('action',)
    assert set(result.detections.labels.tolist()) == {0}


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (dict(modality='Flow', source_type='npy'), {}, '--frame-size'),
        (dict(classes=('a', 'b')), {}, 'names 2 classes, .* num_classes=6'),
        (dict(classes=None), {}, 'names the classes'),
        (dict(pipeline=[]), {}, 'must begin with LoadClip'),
        (dict(type='RepeatedSomething'), {}, 'is not a TALDataset'),
        ({}, dict(model=None, weights=None), 'a model or a checkpoint'),
        ({}, dict(batch_size=0), 'batch size must be at least 1'),
        ({}, dict(device='warp:3'), "device 'warp:3' is not usable"),
    ],
)
def test_unusable_configs_and_arguments(cfg, make, change, options, message):
    cfg.test_dataloader.dataset.update(change)
    with pytest.raises(UserError, match=message):
        make(**{'model': cfg} | options)


def test_config_and_classes_may_come_from_the_checkpoint(
    inferencer, cfg, make, tmp_path
):
    path, weights = tmp_path / 'with meta.pth', inferencer.model.state_dict()
    text = inferencer.cfg.pretty_text
    meta = dict(cfg=text, dataset_meta=dict(classes=list('abcdef')))
    torch.save(dict(state_dict=weights, meta=meta), path)
    alone = TALInferencer(weights=path)
    assert_same(alone(noise(20), fps=10), inferencer(noise(20), fps=10))
    assert alone.classes == inferencer.classes
    cfg.test_dataloader.dataset.classes = None
    assert TALInferencer(cfg, path).classes == tuple('abcdef')
    with pytest.raises(UserError, match='holds no config'):
        make()


def test_size_that_changes_needs_a_scale(inferencer, cfg, make):
    # A list would stand for several videos.
    frames = [*noise(20), *noise(20, size=(30, 30))]
    with pytest.raises(VideoReadError, match='pictures of a window differ in size'):
        inferencer(iter(frames), fps=10)
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[0].scale = pipeline.pop(1).scale
    scaling = make(cfg)
    assert scaling(iter(frames), fps=10).duration == 4
    # Otherwise it is the same as Resize.
    assert_same(scaling(noise(20), fps=10), inferencer(noise(20), fps=10))


def test_every_shipped_config_reads_videos(inferencer, repo_root):
    """Also those whose data are arrays; only the frames are tried, no networks."""
    with pytest.raises(UserError, match='no test_dataloader'):
        video_settings(Config(), 112, 'dis')
    configs = sorted((repo_root / 'configs').glob('[!_]*/*.py'))
    assert len(configs) > 10
    frames = np.zeros((10, 120, 160, 3), dtype=np.uint8)
    for path in configs:
        cfg = Config.fromfile(path)
        if cfg.test_dataloader.dataset.type == 'TALFeatureDataset':
            with pytest.raises(UserError, match='reads features, not videos'):
                video_settings(cfg, 112, 'dis')
            continue
        dataset, settings = video_settings(cfg, 112, 'dis')
        for name in {'clip_len', 'num_frames_per_video'} & {*settings}:
            settings[name] = 8
        item = next(video_windows(ArrayReader(frames, 10), 'v', **settings))
        window = inferencer._init_pipeline(dataset)(item)
        streams = cfg.model.get('rgb', cfg.model), cfg.model.get('flow')
        channels = sum(s.backbone.get('in_channels', 3) for s in streams if s)
        assert window['inputs'].shape[0] == channels, path
