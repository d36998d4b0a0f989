"""Which windows a data set has, and that an item is the same whoever prepares it."""

from __future__ import annotations

import copy
import json
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmtal_mts.datasets import VideoReadError
from mmtal_mts.datasets.transforms.formatting import META_KEYS
from mmtal_mts.structures.annotations import AnnotationError

VIDEO = Path(__file__).parents[1] / 'data' / 'index_brightness.mp4'
ACTION = [0.2, 0.6], 'x'


def pipeline(test_mode=False):
    crop = dict(type='RandomCrop', size=16)
    return [
        dict(type='LoadClip'),
        dict(type='Resize', scale=(20, 20), keep_ratio=False),
        dict(type='CenterCrop', crop_size=16) if test_mode else crop,
        dict(type='FlipClip'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]


def entry(*actions, duration=4 / 3, **more):
    annotations = [dict(segment=s, label=label) for s, label in actions]
    more = dict(dict(subset='training'), annotations=annotations, **more)
    return more if duration is None else dict(more, duration=duration)


def write(folder, **database):
    (folder / 'anno.json').write_text(json.dumps(dict(database=database)))


@pytest.fixture
def root(tmp_path):
    """Three videos of 1.33 s, 13 sampled frames each."""
    (tmp_path / 'videos').mkdir()
    for name in ('a', 'b', 'c'):
        shutil.copy(VIDEO, tmp_path / 'videos' / f'{name}.mp4')
    write(
        tmp_path,
        a=entry(([0.2, 0.6], 'wave'), ([0.95, 1.3333], 'jump')),
        b=entry(),
        c=dict(entry(([0, 0.5], 'jump')), subset='test'),
    )
    return tmp_path


def build(root, **more):
    settings = dict(type='TALDataset', ann_file='anno.json', data_root=str(root))
    settings.update(data_prefix=dict(video='videos'), clip_len=8, window_stride=3)
    return DATASETS.build({**settings, **more})


def infos(data):
    return [data.get_data_info(index) for index in range(len(data))]


def test_training_windows_by_hand(root):
    data = build(root, subsets='training')
    # Offsets 0, 3, 5 of video a: the wave is frames 2 to 6, the jump 9.5 to the end.
    first, last = infos(data)
    assert first['window_offset'] == 0 and last['window_offset'] == 5
    np.testing.assert_allclose(first['gt_segments'], [[2, 6]])
    np.testing.assert_allclose(last['gt_segments'], [[4.5, 8]])
    assert (first['gt_labels'].tolist(), last['gt_labels'].tolist()) == ([1], [0])
    assert first['gt_segments'].dtype == np.float32
    assert first['gt_labels'].dtype == np.int64
    assert data.metainfo['classes'] == ('jump', 'wave')
    assert data.get_cat_ids(0) == [1]
    # The keys of the contract.
    expected = dict(video_id='a', source=str(root / 'videos' / 'a.mp4'))
    expected.update(source_type='video', modality='RGB', source_fps=None)
    expected.update(filename_tmpl='img_{:05}.jpg', start_index=0, sample_fps=10.0)
    expected.update(clip_len=8, num_sampled_frames=13, duration=4 / 3)
    assert expected.items() <= first.items()
    # 1.3333 s are 13.33 frames: an action in the incomplete one ends with the window.
    write(root, a=entry(([1.0, 4 / 3], 'x'), ([1.305, 1.32], 'x')))
    np.testing.assert_allclose(infos(build(root))[-1]['gt_segments'], [[5, 8]])


def test_testing_has_all_windows_of_all_videos_and_strides_have_defaults(root):
    windows = infos(build(root, test_mode=True))
    assert [(info['video_id'], info['window_offset']) for info in windows] == [
        (name, offset) for name in 'abc' for offset in (0, 3, 5)
    ]
    assert windows[3]['gt_segments'].shape == (0, 2)
    settings = dict(window_stride=None, clip_len=256)
    assert build(root, **settings).window_stride == 30
    data = build(root, test_mode=True, **settings)
    assert data.window_stride == 128 and len(data) == 3


@pytest.mark.parametrize('test_mode', [False, True])
def test_pipeline_with_stock_transforms(root, test_mode):
    data = build(root, test_mode=test_mode, pipeline=pipeline(test_mode))
    batch = pseudo_collate([data[0], data[1]])
    assert [x.shape for x in batch['inputs']] == [(3, 8, 16, 16)] * 2
    assert batch['inputs'][0].dtype == torch.uint8
    brightness = batch['inputs'][0].float().mean(dim=(0, 2, 3))
    assert torch.allclose(brightness, 30.0 + 15 * torch.arange(8), atol=2)
    info = data.get_data_info(0)
    expected = {key: info[key] for key in META_KEYS if key in info}
    assert len(expected) == 7 and batch['data_samples'][0].metainfo == expected


def test_classes_of_arguments_and_metainfo_serialised_and_lazily(root):
    metainfo = dict(classes=('wave', 'jump'))
    plain = infos(build(root, metainfo=metainfo, serialize_data=False))
    assert len(plain) == 3 and plain[1]['gt_labels'].tolist() == [1]
    packed = build(root, metainfo=metainfo)
    np.testing.assert_equal(plain, infos(packed))
    assert len(pickle.loads(pickle.dumps(packed))) == 3
    lazy = build(root, classes=['wave', 'jump'], indices=1, lazy_init=True)
    lazy.full_init()
    assert len(lazy) == 1 and lazy.metainfo['classes'] == ('wave', 'jump')
    assert lazy.get_data_info(0)['gt_labels'].tolist() == [0]


def test_whole_video_resampled(root):
    data = build(root, clip_len=20, num_frames_per_video=20, pipeline=pipeline())
    info = data.get_data_info(0)
    assert info['num_sampled_frames'] == 20
    assert info['sample_fps'] == pytest.approx(15)
    np.testing.assert_allclose(info['gt_segments'], [[3, 9], [14.25, 20]], atol=1e-3)
    brightness = data[0]['inputs'].float().mean(dim=(0, 2, 3))
    assert torch.allclose(brightness, 20.0 + 5 * torch.arange(1, 40, 2).float(), atol=2)


def write_array(root, name, num_rows, dtype=np.uint8):
    np.save(root / 'videos' / f'{name}.npy', np.full((num_rows, 20, 20, 3), 50, dtype))


def test_arrays_tell_their_length(root):
    for name in 'ab':
        write_array(root, name, 13)
    write(root, a=entry(ACTION, duration=None), b=entry(ACTION, duration=9.0))
    data = build(root, source_type='npy', pipeline=pipeline())
    assert {info['num_sampled_frames'] for info in infos(data)} == {13}
    assert data.get_data_info(0)['duration'] == pytest.approx(1.3)
    assert data[0]['inputs'].shape == (3, 8, 16, 16)
    resampled = build(root, source_type='npy', clip_len=26, num_frames_per_video=26)
    info = resampled.get_data_info(0)
    assert (info['source_fps'], info['sample_fps']) == pytest.approx((10, 20))
    write_array(root, 'a', 13, np.float32)
    with pytest.raises(VideoReadError, match='float32'):
        build(root, source_type='npy')
    write(root, a=entry(ACTION))
    with pytest.raises(AnnotationError, match='empty'):
        build(root, source_type='npy', on_bad_video='skip')


def test_arrays_and_images_are_sampled_by_the_record_of_their_extraction(root):
    def record(**facts):
        facts = dict(fps=None, num_frames=None, modality='RGB') | facts
        (root / 'videos' / 'extraction.json').write_text(json.dumps(facts))

    write_array(root, 'a', 26)
    write(root, a=entry(ACTION, duration=None))
    record(layout='npy', fps=20.0)
    info = build(root, source_type='npy').get_data_info(0)
    assert (info['source_fps'], info['sample_fps']) == (20, 10)
    assert (info['duration'], info['num_sampled_frames']) == (pytest.approx(1.3), 13)
    # So many frames of every video: only the annotation tells how long it is.
    record(layout='npy', num_frames=26)
    with pytest.raises(AnnotationError, match='a: no "duration"'):
        build(root, source_type='npy')
    write(root, a=entry(ACTION, duration=2.6))
    info = build(root, source_type='npy').get_data_info(0)
    assert (info['source_fps'], info['num_sampled_frames']) == (10, 26)
    # "fps" is that of the video which images were extracted from.
    (root / 'videos' / 'a').mkdir()
    write(root, a=entry(ACTION, duration=1.3, fps=30.0))
    record(layout='frames', fps=10.0)
    assert build(root, source_type='frames').get_data_info(0)['source_fps'] == 10


def test_missing_videos_are_skipped_or_excluded_on_request_or_listed_together(root):
    (root / 'videos' / 'c.mp4').unlink()
    excluded = dict(filter_cfg=dict(exclude_videos=['c']))
    for settings in (dict(on_bad_video='skip'), excluded):
        videos = [info['video_id'] for info in infos(build(root, **settings))]
        assert videos == ['a', 'a']
    write(root, **{f'v{i}': entry(ACTION) for i in range(12)})
    message = r"(?s)12 of 12.*v9\.mp4.*\.\.\. and 2 more.*on_bad_video='skip'"
    with pytest.raises(FileNotFoundError, match=message):
        build(root)
    write(root, a=entry(ACTION, duration=None), b=entry(duration=None))
    with pytest.raises(AnnotationError, match=r'(?s)2 videos.*a: no.*b: no'):
        build(root)


@pytest.mark.parametrize('test_mode', [False, True])
def test_corrupt_video_here_and_in_a_worker(root, test_mode):
    (root / 'videos' / 'a.mp4').write_bytes(b'broken')
    settings = dict(pipeline=pipeline(test_mode), test_mode=test_mode)
    data = build(root, **settings)
    with pytest.raises(VideoReadError, match=r'a\.mp4'):
        data[0]
    with pytest.raises(VideoReadError, match=r'a\.mp4'):
        next(iter(DataLoader(data, num_workers=1, collate_fn=pseudo_collate)))
    data = build(root, on_bad_video='skip', **settings)
    if not test_mode:
        assert data[0]['data_samples'].video_id == 'c'
        return
    assert data[0]['inputs'].shape == (3, 8, 16, 16)
    assert (data[0]['inputs'] == 127.5).all()
    assert data[0]['data_samples'].broken is True
    assert 'broken' not in data[5]['data_samples'].metainfo


@pytest.mark.parametrize(
    ('actions', 'settings', 'message'),
    [
        ([([0, 1.3], 'x')], {}, '1 actions, none .*clip_len'),
        ([], {}, '1 videos.* 0 actions'),
        ([], dict(filter_cfg=dict(exclude_videos=['a'])), '0 videos.*filter_cfg'),
    ],
)
def test_empty_data_set_says_why(root, actions, settings, message):
    write(root, a=entry(*actions))
    with pytest.raises(AnnotationError, match=message):
        build(root, classes=['x'], **settings)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(('on_bad_video', 'x'), ('source_type', 'x'), ('on_invalid', 'x')),
        ('source_type', 'features'),
        *(('modality', 'Depth'), ('modality', 'Flow'), ('data_prefix', dict(img='x'))),
        *(('clip_len', 0), ('sample_fps', float('nan')), ('keep_ioa', 2.0)),
        *(('num_frames_per_video', 20), ('filter_cfg', dict(min_size=3))),
    ],
)
def test_impossible_arguments(root, name, value):
    with pytest.raises(ValueError, match=name):
        build(root, **{name: value})


def test_class_agnostic_has_one_class_and_keeps_the_names(root):
    data = build(root, class_agnostic=True, classes=('wave', 'jump'))
    assert data.metainfo['classes'] == ('action',)
    assert data.metainfo['video_classes'] == ('wave', 'jump')
    assert not any(info['gt_labels'].any() for info in infos(data))
    assert data.get_data_info(0)['video_classes'] == ('wave', 'jump')
    assert 'video_classes' not in build(root).get_data_info(0)


# Randomness


def numbers(_=None):
    return torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()])


def noise(root, *epoch_seed, pipeline=(numbers,)):
    """A data set of three items, which are random numbers."""
    data = build(root, pipeline=pipeline)
    if epoch_seed:
        data.set_epoch_seed(*epoch_seed)
    return data


def test_an_item_depends_on_seed_epoch_and_index(root):
    first = noise(root, 3, 1)[2]
    assert torch.equal(noise(root, 3, 1)[2], first)
    for seed, epoch, index in ((3, 2, 2), (4, 1, 2), (3, 1, 1)):
        assert not torch.isin(noise(root, seed, epoch)[index], first).any()
    # Before a training, numbers are what they are.
    data = noise(root)
    assert not torch.equal(data[0], data[0])


def test_workers_that_live_on_are_told_of_the_epoch(root):
    data, seen = copy.deepcopy(noise(root)), []
    loader = DataLoader(data, None, num_workers=2, persistent_workers=True)
    for epoch in range(2):
        data.set_epoch_seed(3, epoch)
        seen.append(torch.stack(list(loader)))
        alone = DataLoader(noise(root, 3, epoch), None)
        assert torch.equal(seen[-1], torch.stack(list(alone)))
    assert not torch.equal(*seen)


def test_other_random_numbers_go_on_undisturbed(root):
    def fail(_):
        raise ZeroDivisionError

    drawn = []
    for pipeline in ((), (numbers,), (numbers, fail)):
        data = noise(root, 3, 0, pipeline=pipeline)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        if fail in pipeline:
            with pytest.raises(ZeroDivisionError):
                data[0]
        elif pipeline:
            data[0]
        drawn.append(numbers())
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])
