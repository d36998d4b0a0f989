"""Reading windows."""

from __future__ import annotations

import copy
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from index_brightness import VIDEO, shown
from mmaction.datasets.transforms import CenterCrop, FormatShape, Resize
from mmaction.registry import MODELS
from mmengine.dataset import Compose

from mmtal_mts.datasets import ArrayReader, LoadClip, VideoReader, VideoReadError
from mmtal_mts.datasets.transforms import AppendClip, FlipClip, PackTALInputs

FILE = dict(source_type='video', source_fps=None, filename_tmpl='-', start_index=1)
FILE.update(modality='RGB', sample_fps=10.0, num_sampled_frames=13, duration=40 / 30)


def window(source=VIDEO, **more):
    return {**FILE, 'source': str(source), 'window_offset': 0, 'clip_len': 4, **more}


def load(source=VIDEO, **facts):
    return LoadClip()(window(source, **facts))


def is_padding(imgs, value=127.5):
    return all((img == value).all() for img in imgs)


# Video files


@pytest.mark.parametrize(
    ('facts', 'expected'),
    [
        (dict(window_offset=0), [2, 5, 8, 11]),
        (dict(window_offset=3), [11, 14, 17, 20]),
        (dict(window_offset=9), [29, 32, 35, 38]),
        # A higher rate repeats frames; a rounded duration repeats the last one.
        (dict(sample_fps=60.0, clip_len=6, num_sampled_frames=80), [0, 0, 1, 1, 2, 2]),
        (dict(window_offset=11, num_sampled_frames=15, duration=1.5), [35, 38, 39, 39]),
        # A given rate overrides that of the file.
        (dict(source_fps=20.0, duration=2.0, num_sampled_frames=20), [1, 3, 5, 7]),
    ],
)
def test_sampled_frames_of_a_video(facts, expected):
    results = load(**facts)
    assert results['frame_inds'].tolist() == shown(results['imgs']) == expected
    assert results['img_shape'] == results['original_shape'] == (32, 32)
    assert results['num_clips'] == 1
    assert all(img.dtype == np.uint8 for img in results['imgs'])


def test_end_is_padded_with_a_constant_and_impossible_arguments():
    results = LoadClip(pad_value=99)(window(clip_len=20))
    assert shown(results['imgs'][:13]) == list(range(2, 40, 3))
    assert len(results['imgs']) == 20 and is_padding(results['imgs'][13:], 99)
    for name, value in (('pad_value', (0, 256)), ('scale', (0, 3))):
        with pytest.raises(ValueError, match=name):
            LoadClip(**{name: value})
    with pytest.raises(ValueError, match=r'pad_value=\(1, 2\).*index.*3 channels'):
        LoadClip(pad_value=(1, 2))(window())


@pytest.mark.parametrize('mean', [127.5, (123.675, 116.28, 103.53), 0])
def test_what_is_filled_up_is_0_to_the_network(mean):
    """And only a window that is filled up costs more than uint8."""
    mean = np.atleast_1d(mean).tolist()
    settings = dict(mean=mean, std=[58.395] * len(mean), format_shape='NCTHW')
    preprocess = MODELS.build(dict(type='ActionDataPreprocessor', **settings))
    steps = [LoadClip(pad_value=mean), Resize((20, 24), keep_ratio=False)]
    steps += [CenterCrop(16), FlipClip(1.0), FormatShape('NCTHW'), PackTALInputs()]
    labels = dict(gt_segments=[], gt_labels=[])
    short, full = (
        Compose(steps)(window(clip_len=15, window_offset=offset, **labels, **facts))
        for offset, facts in ((5, {}), (0, dict(num_sampled_frames=15, duration=1.5)))
    )
    assert full['inputs'].dtype == torch.uint8
    both = [short['inputs'], full['inputs']]
    clips = preprocess(dict(inputs=both, data_samples=None))['inputs']
    assert clips.shape == (2, 3, 15, 16, 16) and clips.dtype == torch.float32
    assert (clips[0, :, 8:] == 0).all() and (clips[0, :, :8] != 0).any()
    plain = preprocess(dict(inputs=both[1:], data_samples=None))['inputs']
    assert torch.equal(clips[1:], plain)


def test_varying_frame_rate_is_sampled_by_time(make_video, number_of, tmp_path):
    # Frame 0 stays for a second, which an average rate would spread over all.
    path = make_video(tmp_path / 'v.mp4', 10, times=[0, *(1 + np.arange(9) / 10)])
    results = load(path, duration=1.9, num_sampled_frames=19, clip_len=19)
    expected = [0] * 10 + list(range(1, 10))
    assert results['frame_inds'].tolist() == expected
    assert [number_of(img) for img in results['imgs']] == expected


def test_scaling_while_decoding_equals_a_resize():
    scaled = LoadClip(scale=(20, 24))(window(clip_len=16))
    resized = Resize((20, 24), keep_ratio=False)(load(clip_len=16))
    np.testing.assert_array_equal(scaled['imgs'], resized['imgs'])
    assert scaled['img_shape'] == (24, 20)
    assert LoadClip(scale=(20, 24))(window('x', broken=True))['img_shape'] == (24, 20)


def test_one_video_stays_open_and_copies_open_their_own(tmp_path):
    first = LoadClip()
    first(window())
    reader = first._reader
    first(window(window_offset=4))
    assert first._reader is reader
    twin = copy.deepcopy(first)
    assert twin._reader is None and first._reader is reader
    assert shown(twin(window())['imgs']) == [2, 5, 8, 11]
    other = shutil.copy(VIDEO, tmp_path / 'other.mp4')
    assert shown(first(window(other))['imgs']) == [2, 5, 8, 11]
    assert first._reader is not reader


def test_undecodable_end_is_filled_up_when_skipping(monkeypatch, tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video at all' * 100)
    with pytest.raises(VideoReadError, match=r'broken\.mp4.*opened.*on_bad_video'):
        load(tmp_path / 'broken.mp4')
    original = VideoReader._frame
    monkeypatch.setattr(
        VideoReader, '_frame', lambda self, i: original(self, i) if i < 4 else None
    )
    with pytest.raises(VideoReadError, match='cut off at frame 5 of 40.*on_bad_video'):
        load(clip_len=13)
    assert load(clip_len=13, on_bad_video='skip')['frame_inds'].tolist() == [2]
    # An open video of which nothing is left gives a constant window.
    empty = load(clip_len=13, reader=VideoReader(VIDEO), window_offset=6)
    assert is_padding(empty['imgs'])


def test_shorter_video_is_an_error_naming_both_lengths_or_filled_up():
    facts = dict(duration=10.0, num_sampled_frames=100)
    with pytest.raises(VideoReadError, match=r'40 frames.*1\.33 s.*10\.00 s'):
        load(window_offset=40, **facts)
    # A window that does not reach the contradiction can be read.
    assert shown(load(**facts)['imgs']) == [2, 5, 8, 11]
    facts.update(window_offset=11, clip_len=40, on_bad_video='skip')
    results = load(**facts)
    assert results['frame_inds'].tolist() == [35, 38]
    assert is_padding(results['imgs'][2:])


# Image folders


@pytest.fixture
def folder(tmp_path):
    for k in range(20):
        for name, level in dict(img=[20 + 5 * k] * 3, x=2 * k, y=100 + k).items():
            image = np.full((16, 16, *np.shape(level)), level, dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f'{name}_{k + 1:05}.png'), image)
    return tmp_path


FRAMES = dict(source_type='frames', filename_tmpl='img_{:05}.png', source_fps=10.0)
FRAMES.update(sample_fps=5.0, num_sampled_frames=10, duration=2.0)
FLOW = dict(FRAMES, modality='Flow', filename_tmpl='{}_{:05}.png')


def test_image_folder(folder):
    results = load(folder, **FRAMES, window_offset=7)
    assert shown(results['imgs'][:3]) == [15, 17, 19]
    assert is_padding(results['imgs'][3:])
    # Without a rate, the images spread over the duration.
    results = load(folder, **dict(FRAMES, source_fps=None))
    assert shown(results['imgs']) == [1, 3, 5, 7]


def test_flow_folder(folder):
    found = [img[0, 0].tolist() for img in load(folder, **FLOW)['imgs']]
    assert found == [[2, 101], [6, 103], [10, 105], [14, 107]]
    # Flow may lack the last image, which is repeated.
    (folder / 'x_00020.png').unlink()
    results = load(folder, **FLOW, window_offset=9)
    assert results['imgs'][0][0, 0].tolist() == [36, 118]


def test_wrong_template_hole_and_damaged_image(folder):
    with pytest.raises(VideoReadError, match=r'frame_00001\.png.*filename_tmpl'):
        load(folder, **dict(FRAMES, filename_tmpl='frame_{:05}.png'))
    (folder / 'img_00006.png').write_bytes(b'damaged')
    with pytest.raises(VideoReadError, match='damaged image between'):
        load(folder, **FRAMES)
    (folder / 'y_00004.png').unlink()
    with pytest.raises(VideoReadError, match=r'y_00004\.png: missing'):
        load(folder, **FLOW)


# Arrays


def test_array_rows_are_the_sampled_frames(tmp_path):
    path = tmp_path / 'a.npy'
    rows = np.arange(13, dtype=np.uint8)[:, None, None, None]
    np.save(path, np.broadcast_to(20 + 5 * rows, (13, 8, 8, 3)))
    results = load(path, source_type='npy', duration=1.3, window_offset=10)
    assert shown(results['imgs'][:3]) == [10, 11, 12]
    assert is_padding(results['imgs'][3:])
    assert not isinstance(results['imgs'][0], np.memmap)
    # With a rate of its own the array is sampled like a video.
    facts = dict(source_type='npy', source_fps=20.0, duration=0.65, clip_len=3)
    assert shown(load(path, **facts)['imgs']) == [1, 3, 5]


@pytest.mark.parametrize(
    ('dtype', 'shape'),
    [
        ('float32', (4, 8, 8, 3)),
        *(('uint8', shape) for shape in ((4, 8, 8), (4, 8, 8, 2), (0, 8, 8, 3))),
    ],
)
def test_unusable_arrays(tmp_path, dtype, shape):
    np.save(tmp_path / 'a.npy', np.zeros(shape, dtype))
    message = rf'a\.npy.*{dtype} {re.escape(str(shape))}'
    with pytest.raises(VideoReadError, match=message):
        load(tmp_path / 'a.npy', source_type='npy')


# Two streams

T, SIDE = 20, 6


@pytest.fixture
def streams(tmp_path):
    """RGB frames of value k and flow of value 100 + k."""
    levels = np.arange(T, dtype=np.uint8)[:, None, None, None]
    for name, first, channels in (('rgb', 0, 3), ('flow', 100, 2)):
        (tmp_path / name).mkdir()
        frames = np.broadcast_to(first + levels, (T, SIDE, SIDE, channels))
        np.save(tmp_path / name / 'v.npy', frames)
    return tmp_path


def load_both(root, offset=0, **facts):
    kind = dict(source_type='npy', duration=T / 10, num_sampled_frames=T)
    facts = dict(window_offset=offset, clip_len=8, video_id='v', **kind, **facts)
    results = AppendClip('flow', str(root))(load(root / 'rgb' / 'v.npy', **facts))
    return np.stack(results['imgs']), results


@pytest.mark.parametrize('offset, num_real', [(0, 8), (5, 8), (16, 4)])
def test_both_sources_show_the_same_window(streams, offset, num_real):
    clip, results = load_both(streams, offset)
    assert clip.shape == (8, SIDE, SIDE, 5)
    assert clip.dtype == (np.uint8 if num_real == 8 else np.float32)
    levels = np.arange(offset, offset + num_real)
    assert clip[:num_real, 0, 0, :3].tolist() == [[k] * 3 for k in levels]
    assert clip[:num_real, 0, 0, 3:].tolist() == [[100 + k] * 2 for k in levels]
    assert is_padding(clip[num_real:])
    # What the window is does not change.
    assert results['modality'] == 'RGB' and results['source'].endswith('rgb/v.npy')


@pytest.mark.parametrize('rate', [dict(fps=5.0), dict(num_frames=10)])
def test_the_record_of_the_extraction_tells_the_rate(streams, rate):
    np.save(streams / 'flow' / 'v.npy', np.load(streams / 'flow' / 'v.npy')[:10])
    # A rate, or so many of every video, whatever its length.
    record = dict(layout='npy', modality='Flow', **rate)
    (streams / 'flow' / 'extraction.json').write_text(json.dumps(record))
    clip, _ = load_both(streams, 2)
    assert clip[:, 0, 0, 0].tolist() == list(range(2, 10))
    assert clip[:, 0, 0, 3].tolist() == [101, 101, 102, 102, 103, 103, 104, 104]


def test_a_second_source_that_does_not_fit_is_named(streams):
    path = streams / 'flow' / 'v.npy'
    np.save(path, np.zeros((5, SIDE, SIDE, 2), dtype=np.uint8))
    with pytest.raises(VideoReadError, match=r'flow/v\.npy: holds 5 frames'):
        load_both(streams, 12)
    np.save(path, np.zeros((T, 4, 4, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r'\(6, 6\).*flow/v\.npy are \(4, 4\)'):
        load_both(streams)
    # An unreadable video stays a constant window.
    clip, _ = load_both(streams, broken=True)
    assert (len(clip), clip.shape[-1]) == (8, 5) and is_padding(clip)
    path.unlink()
    with pytest.raises(VideoReadError, match=r'flow/v\.npy: missing second source'):
        load_both(streams)
    with pytest.raises(ValueError, match='modality'):
        AppendClip('flow', modality='Depth')
    video = ArrayReader(np.zeros((T, SIDE, SIDE, 3), np.uint8), 10)
    with pytest.raises(ValueError, match='streams RGB and RGB cannot be made from a'):
        AppendClip('rgb', modality='RGB')(load(reader=video, duration=2.0))
