"""Windows made while decoding are, bit by bit, those of the data set.

Arrays of frames and flow are extracted for the data set; the pipeline makes them as
it goes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmtal_mts.apis.inference.window_pipeline import WindowPipeline
from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.extraction import (
    ExtractionSettings,
    SamplingGrid,
    VideoFile,
    plan_extraction,
)
from mmtal_mts.datasets.extraction.extract import extract_video
from mmtal_mts.datasets.video_stream import ArrayStream, VideoStream
from mmtal_mts.utils import UserError

SIDE, DURATION = 36, 6.4
END = [
    dict(type='CenterCrop', crop_size=32),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
LOAD = dict(type='LoadClip', backend='pyav', pad_value=100)
RESIZE = dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=False)
FLOW = dict(modality='Flow', source_type='npy', data_prefix=dict(video='flow_npy'))


def settings(root, kind, **more):
    pipelines = {
        'video': [LOAD, RESIZE, *END],
        'array': [LOAD, *END],
        'flow': [LOAD, *END],
        'both': [
            LOAD,
            RESIZE,
            dict(type='AppendClip', data_root=str(root), folder='flow_npy'),
            *END,
        ],
        # Shuffling needs whole windows, so nothing after it can be done before.
        'window steps': [LOAD, RESIZE, dict(type='ShuffleFrames'), *END],
    }
    sources = {
        'array': dict(source_type='npy', data_prefix=dict(video='rgb_npy')),
        'flow': FLOW,
    }
    return {
        **dict(
            ann_file='ann.json',
            data_root=f'{root}/',
            data_prefix=dict(video='videos'),
            clip_len=16,
            window_stride=9,
            test_mode=True,
            pipeline=pipelines[kind],
        ),
        **sources.get(kind, {}),
        **more,
    }


@pytest.fixture
def root(tmp_path, make_video):
    """A video of 64 sampled frames at 10 fps, and what is extracted from it."""
    (tmp_path / 'videos').mkdir()
    path = make_video(tmp_path / 'videos/v.mp4', 160, 25, size=(60, 44))
    entry = dict(duration=DURATION, annotations=[dict(segment=[1, 2], label='a')])
    (tmp_path / 'ann.json').write_text(
        json.dumps(dict(version='1', database=dict(v=entry)))
    )
    made = ExtractionSettings(
        ('RGB', 'Flow'), 'npy', SamplingGrid(10.0), SIDE, flow_method='farneback'
    )
    (job,) = plan_extraction([VideoFile('v', path)], tmp_path, made).jobs
    extract_video(job, lambda _: None, tmp_path, made, ['pyav'])
    return tmp_path


def streamed(pipeline, source):
    return list(pipeline.windows(pipeline.sampler(source), 'v'))


@pytest.mark.parametrize('kind', ['video', 'array', 'flow', 'both', 'window steps'])
def test_same_windows_as_the_data_set(root, kind):
    dataset = TALDataset(**settings(root, kind))
    size = SIDE if kind in ('array', 'flow') else None
    pipeline = WindowPipeline(TALDataset(**settings(root, kind)), size, 'farneback')

    np.random.seed(0)
    expected = [dataset[index] for index in range(len(dataset))]
    np.random.seed(0)
    found = streamed(pipeline, VideoStream(root / 'videos/v.mp4'))

    assert len(found) == len(expected) == 7
    for mine, theirs in zip(found, expected):
        assert mine['inputs'].shape[0] == {'flow': 2, 'both': 5}.get(kind, 3)
        np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])
        for key in ('window_offset', 'sample_fps', 'clip_len'):
            assert mine['data_samples'].get(key) == theirs['data_samples'].get(key)


@pytest.mark.parametrize('kind', ['video', 'flow', 'both'])
def test_short_video_is_filled_up_alike(root, kind):
    more = dict(clip_len=80)
    (theirs,) = TALDataset(**settings(root, kind, **more))
    pipeline = WindowPipeline(
        TALDataset(**settings(root, kind, **more)),
        SIDE if kind == 'flow' else None,
        'farneback',
    )
    (mine,) = streamed(pipeline, VideoStream(root / 'videos/v.mp4'))
    np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])
    # Each stream has a value of its own.
    assert (mine['inputs'][:3, 64:] == 100).all()
    assert (mine['inputs'][3:, 64:] == 127).all()


def test_single_frame_has_no_motion(root):
    pipeline = WindowPipeline(TALDataset(**settings(root, 'flow')), SIDE, 'dis')
    frame = np.zeros((1, 50, 40, 3), dtype=np.uint8)
    (window,) = streamed(pipeline, ArrayStream(frame, 10))
    assert (window['inputs'][:, 0] == 128).all()


def test_what_cannot_be_made_from_a_video(root):
    with pytest.raises(UserError, match='--frame-size'):
        WindowPipeline(TALDataset(**settings(root, 'flow')))
    with pytest.raises(ValueError, match='flow method must be one of'):
        WindowPipeline(TALDataset(**settings(root, 'flow')), SIDE, 'magic')
    swapped = settings(root, 'both')
    swapped['pipeline'] = [
        LOAD,
        dict(swapped['pipeline'][2], modality='RGB', source_type='video'),
    ]
    with pytest.raises(UserError, match='streams RGB and RGB'):
        WindowPipeline(TALDataset(**swapped))


def test_flow_of_frames_that_change_their_size(root):
    pipeline = WindowPipeline(TALDataset(**settings(root, 'both')), None, 'dis')
    frames = [np.zeros((size, 50, 3), dtype=np.uint8) for size in (40, 60)]
    # Scaled to one size they are fine.
    assert len(streamed(pipeline, ArrayStream(frames, 10))) == 1
    other = settings(root, 'both')
    other['pipeline'] = [LOAD, *other['pipeline'][2:]]
    pipeline = WindowPipeline(TALDataset(**other), None, 'dis')
    with pytest.raises(UserError, match='flow needs frames of one size'):
        streamed(pipeline, ArrayStream(frames, 10))


def test_every_shipped_config_can_be_used(repo_root, tmp_path):
    """Those that read arrays too; only the frames are tried, not the networks."""
    configs = sorted(Path(repo_root, 'configs').glob('[!_]*/*.py'))
    assert len(configs) > 10
    frames = np.zeros((10, 120, 160, 3), dtype=np.uint8)
    for path in configs:
        cfg = Config.fromfile(path)
        windows = cfg.test_dataloader.dataset
        windows.clip_len = 8
        if windows.type == 'TALFeatureDataset':
            with pytest.raises(UserError, match='reads features, not videos'):
                WindowPipeline.from_config(cfg, 112, 'dis')
            continue
        if 'num_frames_per_video' in windows:
            windows.num_frames_per_video = 8
        pipeline = WindowPipeline.from_config(cfg, 112, 'dis')
        window = streamed(pipeline, ArrayStream(frames, 10))[0]
        in_channels = [
            network.backbone.get('in_channels', 3)
            for network in (cfg.model.get('rgb', cfg.model), cfg.model.get('flow'))
            if network
        ]
        assert window['inputs'].shape[0] == sum(in_channels), path
