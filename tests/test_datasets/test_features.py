from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmtal_mts.datasets import TALFeatureDataset, VideoReadError
from mmtal_mts.datasets.stored import open_array
from mmtal_mts.datasets.transforms import LoadVideoScores
from mmtal_mts.structures.annotations import AnnotationError

WAVE = dict(segment=[2.0, 6.0], label='wave')
TWO_STREAMS = dict(video='features', flow='flow')


def rows(count: int, channels: int = 3) -> np.ndarray:
    """Row i is i, i + 0.25, i + 0.5, ..."""
    return (np.arange(count)[:, None] + 0.25 * np.arange(channels)).astype(np.float32)


@pytest.fixture
def root(tmp_path):
    """One video of 12 s at 10 fps: 27 rows of 16 frames, one per 4 frames."""
    for name in ('features', 'flow'):
        (tmp_path / name).mkdir()
    np.save(tmp_path / 'features' / 'a.npy', rows(27))
    write(tmp_path)
    return tmp_path


def write(folder, **facts) -> None:
    """Writes the facts of the video; those of value None are left out."""
    entry = dict(subset='training', duration=12.0, fps=10, annotations=[WAVE]) | facts
    entry = {name: value for name, value in entry.items() if value is not None}
    (folder / 'anno.json').write_text(json.dumps(dict(database=dict(a=entry))))


def build(root, channels=3, **more) -> TALFeatureDataset:
    load = dict(type='LoadFeatures', channels=channels)
    settings = dict(pipeline=[load, dict(type='PackTALInputs')], clip_len=16)
    settings.update(ann_file='anno.json', data_root=str(root), window_stride=8)
    settings.update(data_prefix=dict(video='features'), feature_stride=4)
    return TALFeatureDataset(**{'feature_window': 16, **settings, **more})


def test_windows_and_rows_which_stand_for_the_middle_of_their_frames(root):
    data = build(root)
    # Row 0 is the middle of frames 0..15, frame 8 = 0.8 s = cell 0.5; a row is 0.4 s.
    info = data.get_data_info(0)
    assert info['sample_fps'] == 2.5 and info['num_sampled_frames'] == 27
    assert info['window_offset'] == 1.5
    np.testing.assert_allclose(info['gt_segments'], [[2 / 0.4 - 1.5, 6 / 0.4 - 1.5]])
    # The windows at rows 8 and 11 do not hold the whole action.
    assert len(data) == 1
    data = build(root, test_mode=True)
    samples = [data[i] for i in range(len(data))]
    offsets = [s['data_samples'].window_offset for s in samples]
    assert offsets == [1.5, 9.5, 12.5]
    for sample, first in zip(samples, (0, 8, 11), strict=True):
        np.testing.assert_array_equal(sample['inputs'], rows(27)[first : first + 16].T)
    assert pseudo_collate(samples)['inputs'][0].dtype == torch.float32


def test_short_videos_are_padded_with_zeros(root):
    np.save(root / 'features' / 'a.npy', rows(5))
    write(root, duration=3.2, annotations=[])
    item = build(root, classes=('wave',), test_mode=True)[0]['inputs']
    np.testing.assert_array_equal(item[:, :5], rows(5).T)
    assert not item[:, 5:].any() and item.shape == (3, 16)


def test_rate_comes_from_the_config_the_annotation_or_the_duration(root):
    fast = build(root, source_fps=20, test_mode=True)
    assert fast.get_data_info(0)['sample_fps'] == 5
    write(root, fps=None)
    # 27 rows have seen 26 * 4 + 16 = 120 frames, which are the 12 s.
    assert build(root).get_data_info(0)['source_fps'] == pytest.approx(10)
    write(root, fps=None, duration=None)
    with pytest.raises(AnnotationError, match='neither "fps" nor "duration"'):
        build(root)


def test_streams_are_joined(root):
    flow = -rows(26, 2)
    torch.save(dict(feats=torch.from_numpy(flow)), root / 'flow' / 'a.pt')
    two = build(root, channels=5, data_prefix=TWO_STREAMS, test_mode=True)
    joined = np.concatenate([rows(27)[:26], flow], axis=1)
    np.testing.assert_array_equal(two[1]['inputs'], joined[8:24].T)
    assert two.get_data_info(0)['num_sampled_frames'] == 26
    torch.save(torch.zeros(20, 2), root / 'flow' / 'a.pt')
    with pytest.raises(VideoReadError, match=r'the streams have \[27, 20\] rows'):
        build(root, data_prefix=TWO_STREAMS)
    (root / 'flow' / 'a.pt').unlink()
    with pytest.raises(FileNotFoundError, match='flow'):
        build(root, data_prefix=TWO_STREAMS)


def test_fixed_number_of_rows_is_interpolated(root):
    data = build(root, num_frames_per_video=16, feature_window=4)
    info = data.get_data_info(0)
    # 27 rows of 4 frames are 10.8 s.
    assert info['sample_fps'] == pytest.approx(16 / 10.8)
    assert info['window_offset'] == 0
    np.testing.assert_allclose(info['gt_segments'], [[32 / 10.8, 96 / 10.8]], rtol=1e-6)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(rows(27).T[None]), size=16, mode='linear'
    )[0]
    torch.testing.assert_close(data[0]['inputs'], expected)
    assert len(data) == 1


def test_bad_videos(root):
    path = root / 'features' / 'a.npy'
    path.write_bytes(b'nothing')
    with pytest.raises(VideoReadError, match=r'a\.npy: not a readable'):
        build(root)
    np.save(path, np.full((27, 3), np.nan, dtype=np.float32))
    with pytest.raises(VideoReadError, match='NaN or infinity'):
        build(root)[0]
    item = build(root, test_mode=True, on_bad_video='skip')[0]
    assert item['data_samples'].broken and not item['inputs'].any()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(sample_fps=10), "does not take 'sample_fps'"),
        (dict(feature_stride=0), 'feature_stride=0 and .*=16 must be positive'),
        (dict(feature_window=0), 'feature_stride=4 and .*=0 must be positive'),
        (dict(channels=0), 'channels=0'),
        (dict(channels=4), '3 channels, but .*channels=4; correct'),
        (dict(channels=27), r'are \(C, T\): transpose'),
    ],
)
def test_senseless_arguments(root, settings, message):
    with pytest.raises(ValueError, match=message):
        build(root, **settings)[0]


def save(path, content, **settings):
    """Writes a file of the format that its name says."""
    if path.suffix == '.npy':
        np.save(path, content)
    elif path.suffix == '.npz':
        np.savez(path, **content)
    else:
        torch.save(content, path, **settings)
    return str(path)


def test_formats(tmp_path):
    array = rows(4).astype(np.float16)
    tensor = torch.from_numpy(array)
    for name, content, settings in (
        ('a.npy', array, {}),
        ('a.npz', dict(feats=array, other=np.zeros(1)), {}),
        ('a.pt', tensor, {}),
        ('a.pth', dict(x=tensor), {}),
        ('old.pt', tensor, dict(_use_new_zipfile_serialization=False)),
        ('b.pt', tensor.bfloat16(), {}),
    ):
        found = open_array(save(tmp_path / name, content, **settings), 'features')
        np.testing.assert_array_equal(found, array)
        assert found.dtype == (np.float32 if name == 'b.pt' else np.float16)
        assert isinstance(found, np.memmap) == (name == 'a.npy')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.npy', np.zeros((2, 3), int), r'found int64 \(2, 3\)'),
        ('a.npy', np.zeros((2, 3, 4)), r'found float64 \(2, 3, 4\)'),
        ('a.npy', np.array([{}], dtype=object), 'not a readable'),
        ('a.npz', dict(x=np.zeros((1, 1)), y=np.zeros((1, 1))), r"\['x', 'y'\]; needs"),
        ('b.pt', [torch.zeros(1, 1)], 'found list'),
        ('c.pt', dict(x=print), 'not a readable'),
    ],
)
def test_other_contents_are_refused(tmp_path, name, content, message):
    with pytest.raises(VideoReadError, match=message):
        open_array(save(tmp_path / name, content), 'features')


# Scores of a classifier


def scores_of(path, content, video_id='a', **kwargs):
    text = content if isinstance(content, str) else json.dumps(content)
    (path / 'scores.json').write_text(text)
    results = dict(video_id=video_id, video_classes=('run', 'jump', 'swim'))
    transform = LoadVideoScores(str(path / 'scores.json'), **kwargs)
    found = transform(results)['video_scores']
    assert found['labels'].dtype == np.int64 and found['scores'].dtype == np.float32
    return list(zip(found['labels'].tolist(), found['scores'].tolist(), strict=True))


LISTS = {'class': ['swim', 'run', 'jump'], 'results': {'a': [0.25, 0.125, 0.5]}}


@pytest.mark.parametrize(
    ('content', 'video_id', 'top_k', 'expected'),
    [
        (LISTS, 'a', 1, [(1, 0.5)]),
        (LISTS, 'a', 2, [(1, 0.5), (2, 0.25)]),
        (LISTS, 'a', 9, [(1, 0.5), (2, 0.25), (0, 0.125)]),
        ({'v_a': {'class': 'swim', 'score': 0.75}}, 'a', 1, [(2, 0.75)]),
        ({'a': {'run': 0.25, 'swim': 0.5}}, 'v_a', 2, [(2, 0.5), (0, 0.25)]),
        # Equal scores keep their order.
        ({'a': {'swim': 0.5, 'run': 0.5}}, 'a', 1, [(2, 0.5)]),
    ],
)
def test_the_best_classes_of_each_layout(tmp_path, content, video_id, top_k, expected):
    assert scores_of(tmp_path, content, video_id, top_k=top_k) == expected


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'b': {'run': 1.0}}, 'no scores of video a'),
        ({'a': {'fly': 1.0}}, r"class\(es\) \['fly'\]"),
        ({'class': ['run'], 'results': {'a': [0.1, 0.2]}}, 'not one finite'),
        ({'class': ['run'], 'results': {'a': [float('nan')]}}, 'not one finite'),
        ({'a': {'run': 'high'}}, 'not one finite'),
        ({'a': [0.5]}, 'not one finite'),
        ([], 'expected an object'),
        ({'results': [1]}, 'expected an object'),
        ('{', 'is not valid JSON'),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf'scores\.json.*{message}'):
        scores_of(tmp_path, content)


def test_unusable_settings_name_the_way_out(tmp_path):
    path = tmp_path / 'scores.json'
    with pytest.raises(ValueError, match='none.json.*class_agnostic=True'):
        LoadVideoScores(str(tmp_path / 'none.json'))
    path.write_text('{"a": {"run": 1.0}}')
    with pytest.raises(ValueError, match='class_agnostic=True'):
        LoadVideoScores(str(path))(dict(video_id='a'))
    with pytest.raises(ValueError, match='top_k=0'):
        LoadVideoScores(str(path), top_k=0)
