from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate

from mmtal_mts.datasets import TALDataset, VideoReadError
from mmtal_mts.structures.annotations import AnnotationError

VIDEO = Path(__file__).parents[1] / 'data' / 'index_brightness.mp4'


def pipeline(test_mode=False):
    crop = dict(type='CenterCrop', crop_size=16)
    if not test_mode:
        crop = dict(type='RandomCrop', size=16)
    return [
        dict(type='LoadClip'),
        dict(type='Resize', scale=(20, 20), keep_ratio=False),
        crop,
        dict(type='FlipClip'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]


def entry(*annotations, subset='training', duration=4 / 3, **more):
    return dict(
        more,
        subset=subset,
        duration=duration,
        annotations=[dict(segment=s, label=label) for s, label in annotations],
    )


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
        c=entry(([0, 0.5], 'jump'), subset='test'),
    )
    return tmp_path


def write(folder, **database):
    (folder / 'anno.json').write_text(json.dumps(dict(database=database)))


def build(root, **more):
    arguments = dict(
        ann_file='anno.json',
        data_root=str(root),
        data_prefix=dict(video='videos'),
        clip_len=8,
        window_stride=3,
    )
    arguments.update(more)
    return TALDataset(**arguments)


def test_training_windows_by_hand(root):
    data = build(root, subsets='training')
    # Offsets 0, 3, 5 of video a: the wave is frames 2 to 6, the jump 9.5 to the end.
    assert len(data) == 2
    first, last = data.get_data_info(0), data.get_data_info(1)
    assert first['window_offset'] == 0 and last['window_offset'] == 5
    np.testing.assert_allclose(first['gt_segments'], [[2, 6]])
    assert first['gt_labels'].tolist() == [1]
    np.testing.assert_allclose(last['gt_segments'], [[4.5, 8]])
    assert last['gt_labels'].tolist() == [0]
    assert first['gt_segments'].dtype == np.float32
    assert first['gt_labels'].dtype == np.int64
    assert data.metainfo['classes'] == ('jump', 'wave')
    assert data.get_cat_ids(0) == [1]


def test_item_has_every_key_of_the_contract(root):
    info = build(root).get_data_info(0)
    expected = dict(
        video_id='a',
        source=str(root / 'videos' / 'a.mp4'),
        source_type='video',
        modality='RGB',
        filename_tmpl='img_{:05}.jpg',
        start_index=0,
        source_fps=None,
        sample_fps=10.0,
        window_offset=0,
        clip_len=8,
        num_sampled_frames=13,
        duration=4 / 3,
    )
    assert expected.items() <= info.items()


def test_testing_has_all_windows_of_all_videos(root):
    data = build(root, test_mode=True)
    windows = [data.get_data_info(i) for i in range(len(data))]
    assert [(info['video_id'], info['window_offset']) for info in windows] == [
        (name, offset) for name in 'abc' for offset in (0, 3, 5)
    ]
    assert windows[3]['gt_segments'].shape == (0, 2)


def test_default_strides(root):
    assert build(root, window_stride=None, clip_len=256).window_stride == 30
    data = build(root, window_stride=None, clip_len=256, test_mode=True)
    assert data.window_stride == 128 and len(data) == 3


@pytest.mark.parametrize('test_mode', [False, True])
def test_pipeline_with_stock_transforms(root, test_mode):
    data = build(root, test_mode=test_mode, pipeline=pipeline(test_mode))
    batch = pseudo_collate([data[0], data[1]])
    assert [x.shape for x in batch['inputs']] == [(3, 8, 16, 16)] * 2
    assert batch['inputs'][0].dtype == torch.uint8
    brightness = batch['inputs'][0].float().mean(dim=(0, 2, 3))
    expected = 20 + 5 * (3 * torch.arange(8) + 2)
    assert torch.allclose(brightness, expected.float(), atol=2)
    sample = batch['data_samples'][0]
    assert sample.metainfo == dict(
        video_id='a',
        window_offset=0,
        sample_fps=10.0,
        num_sampled_frames=13,
        duration=4 / 3,
        clip_len=8,
        source=str(root / 'videos' / 'a.mp4'),
    )


def test_built_from_config_lazily_with_subset_of_items(root):
    config = dict(
        type='TALDataset',
        ann_file=str(root / 'anno.json'),
        data_prefix=dict(video=str(root / 'videos')),
        classes=['wave', 'jump'],
        clip_len=8,
        window_stride=3,
        indices=1,
        lazy_init=True,
    )
    data = DATASETS.build(config)
    data.full_init()
    assert len(data) == 1
    assert data.metainfo['classes'] == ('wave', 'jump')
    assert data.get_data_info(0)['gt_labels'].tolist() == [0]


def test_classes_from_metainfo_and_serialisation(root):
    plain = build(root, metainfo=dict(classes=('wave', 'jump')), serialize_data=False)
    packed = build(root, metainfo=dict(classes=('wave', 'jump')))
    assert len(plain) == len(packed) == 3
    assert plain.get_data_info(1)['gt_labels'].tolist() == [1]
    for i in range(3):
        one, other = plain.get_data_info(i), packed.get_data_info(i)
        np.testing.assert_equal(one, other)
    assert len(pickle.loads(pickle.dumps(packed))) == 3


def test_action_in_the_incomplete_last_interval_ends_with_the_last_window(root):
    # 1.3333 s are 13.33 sampled frames, of which 13 exist.
    write(root, a=entry(([1.0, 4 / 3], 'x'), ([1.305, 1.32], 'x')))
    data = build(root)
    info = data.get_data_info(len(data) - 1)
    np.testing.assert_allclose(info['gt_segments'], [[5, 8]])


def test_short_video_is_one_window(root):
    data = build(root, clip_len=64, pipeline=pipeline())
    assert len(data) == 2
    assert data[0]['inputs'].shape == (3, 64, 16, 16)
    assert (data[0]['inputs'][:, 13:] == 127).all()


def test_whole_video_resampled(root):
    data = build(root, clip_len=20, num_frames_per_video=20, pipeline=pipeline())
    info = data.get_data_info(0)
    assert info['num_sampled_frames'] == 20
    assert info['sample_fps'] == pytest.approx(15)
    np.testing.assert_allclose(info['gt_segments'], [[3, 9], [14.25, 20]], atol=1e-3)
    brightness = data[0]['inputs'].float().mean(dim=(0, 2, 3))
    assert torch.allclose(brightness, 20.0 + 5 * torch.arange(1, 40, 2).float(), atol=2)
    with pytest.raises(ValueError, match='num_frames_per_video'):
        build(root, clip_len=10, num_frames_per_video=20)


def test_arrays_tell_their_length(root):
    for name in 'ab':
        array = np.full((13, 20, 20, 3), 50, np.uint8)
        np.save(root / 'videos' / f'{name}.npy', array)
    write(
        root,
        a=dict(annotations=[dict(segment=[0.2, 0.6], label='x')]),
        b=entry(([0.2, 0.6], 'x'), duration=9.0),
    )
    data = build(root, source_type='npy', pipeline=pipeline())
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert {info['num_sampled_frames'] for info in infos} == {13}
    assert infos[0]['duration'] == pytest.approx(1.3)
    assert data[0]['inputs'].shape == (3, 8, 16, 16)

    resampled = build(
        root, source_type='npy', clip_len=26, num_frames_per_video=26, subsets=''
    )
    info = resampled.get_data_info(0)
    assert info['source_fps'] == pytest.approx(10)
    assert info['sample_fps'] == pytest.approx(20)


def record(folder, **facts):
    facts = dict(dict(modality='RGB', fps=None, num_frames=None), **facts)
    (folder / 'extraction.json').write_text(json.dumps(facts))


def test_arrays_of_another_rate_are_sampled_by_their_record(root):
    array = np.full((26, 20, 20, 3), 50, np.uint8)
    np.save(root / 'videos' / 'a.npy', array)
    write(root, a=dict(annotations=[dict(segment=[0.2, 0.6], label='x')]))
    record(root / 'videos', layout='npy', fps=20.0)
    data = build(root, source_type='npy', pipeline=pipeline(), subsets='')
    info = data.get_data_info(0)
    assert (info['source_fps'], info['sample_fps']) == (20, 10)
    assert (info['duration'], info['num_sampled_frames']) == (pytest.approx(1.3), 13)
    # So many frames of every video: only the annotation tells how long it is.
    record(root / 'videos', layout='npy', num_frames=26)
    with pytest.raises(AnnotationError, match='without duration'):
        build(root, source_type='npy', subsets='')
    write(root, a=entry(([0.2, 0.6], 'x'), duration=2.6))
    info = build(root, source_type='npy').get_data_info(0)
    assert (info['source_fps'], info['num_sampled_frames']) == (10, 26)


def test_images_are_at_the_rate_of_their_record(root):
    folder = root / 'images'
    (folder / 'a').mkdir(parents=True)
    for number in range(1, 14):
        image = np.full((20, 20, 3), 10 * number, np.uint8)
        cv2.imwrite(str(folder / 'a' / f'img_{number:05}.jpg'), image)
    # "fps" is that of the video which they were extracted from.
    write(root, a=entry(([0.2, 0.6], 'x'), duration=1.3, fps=30.0))
    settings = dict(source_type='frames', data_prefix=dict(video='images'))
    record(folder, layout='frames', fps=10.0)
    data = build(root, pipeline=[dict(type='LoadClip')], **settings)
    item = data[0]
    assert item['source_fps'] == 10
    levels = [int(img.mean()) // 10 for img in item['imgs']]
    assert levels == list(range(1, 9))


def test_unusable_array(root):
    np.save(root / 'videos' / 'a.npy', np.zeros((13, 20, 20, 3), np.float32))
    write(root, a=entry(([0.2, 0.6], 'x')))
    with pytest.raises(VideoReadError, match='float32'):
        build(root, source_type='npy')
    with pytest.raises(AnnotationError, match='empty'):
        build(root, source_type='npy', on_bad_video='skip')


def test_missing_videos_are_listed_together(root):
    write(root, **{f'v{i}': entry(([0.2, 0.6], 'x')) for i in range(12)})
    with pytest.raises(FileNotFoundError) as info:
        build(root)
    message = str(info.value)
    assert '12 of 12' in message and 'v9.mp4' in message
    assert '... and 2 more' in message and "on_bad_video='skip'" in message


def test_missing_video_is_skipped_on_request(root):
    (root / 'videos' / 'c.mp4').unlink()
    assert len(build(root, on_bad_video='skip')) == 2


def test_excluded_videos_need_not_exist(root):
    (root / 'videos' / 'c.mp4').unlink()
    data = build(root, filter_cfg=dict(exclude_videos=['c']))
    assert {data.get_data_info(i)['video_id'] for i in range(len(data))} == {'a'}
    with pytest.raises(ValueError, match='min_size'):
        build(root, filter_cfg=dict(min_size=3))


def test_missing_durations_are_listed_together(root):
    write(
        root,
        a=dict(annotations=[dict(segment=[0.2, 0.6], label='x')]),
        b=dict(annotations=[]),
    )
    with pytest.raises(AnnotationError, match=r'(?s)2 videos.*a: no.*b: no'):
        build(root)


def test_corrupt_video_in_training(root):
    (root / 'videos' / 'a.mp4').write_bytes(b'broken')
    with pytest.raises(VideoReadError, match=r'a\.mp4'):
        build(root, pipeline=pipeline())[0]
    data = build(root, pipeline=pipeline(), on_bad_video='skip')
    assert data[0]['data_samples'].video_id == 'c'


def test_corrupt_video_in_testing(root):
    (root / 'videos' / 'a.mp4').write_bytes(b'broken')
    with pytest.raises(VideoReadError, match=r'a\.mp4'):
        build(root, pipeline=pipeline(True), test_mode=True)[0]
    data = build(root, pipeline=pipeline(True), test_mode=True, on_bad_video='skip')
    item = data[0]
    assert item['inputs'].shape == (3, 8, 16, 16)
    assert (item['inputs'] == 127).all()
    assert item['data_samples'].broken is True
    assert 'broken' not in data[5]['data_samples'].metainfo


def test_read_error_survives_worker_processes(root):
    (root / 'videos' / 'a.mp4').write_bytes(b'broken')
    data = build(root, pipeline=pipeline())
    loader = torch.utils.data.DataLoader(data, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(VideoReadError, match=r'a\.mp4'):
        next(iter(loader))


def test_empty_data_set_says_why(root):
    write(root, a=entry(([0, 1.3], 'x')))
    with pytest.raises(AnnotationError, match='none of the 1 actions.*clip_len'):
        build(root)
    write(root, a=entry())
    with pytest.raises(AnnotationError, match='no action to train on'):
        build(root, classes=['x'])
    with pytest.raises(AnnotationError, match='exclude|filter_cfg'):
        build(root, classes=['x'], filter_cfg=dict(exclude_videos=['a']))


@pytest.mark.parametrize(
    'arguments',
    [
        dict(on_bad_video='x'),
        dict(modality='Depth'),
        dict(modality='Flow'),
        dict(clip_len=0),
        dict(sample_fps=float('nan')),
        dict(data_prefix=dict(img='x')),
        dict(source_type='x'),
        dict(on_invalid='x'),
        dict(keep_ioa=2.0),
    ],
)
def test_impossible_arguments(root, arguments):
    with pytest.raises(ValueError):
        build(root, **arguments)


def test_class_agnostic_has_one_class_and_keeps_the_names(root):
    data = build(root, class_agnostic=True, classes=('wave', 'jump'))
    assert data.metainfo['classes'] == ('action',)
    assert data.metainfo['video_classes'] == ('wave', 'jump')
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert {label for info in infos for label in info['gt_labels'].tolist()} == {0}
    assert infos[0]['video_classes'] == ('wave', 'jump')
    assert 'video_classes' not in build(root).get_data_info(0)
