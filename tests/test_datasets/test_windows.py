from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets import LoadClip, VideoReadError
from mmtal_mts.datasets import windows as w
from mmtal_mts.datasets.windows import ArrayReader
from mmtal_mts.structures import Segments

GOLDENS = Path(__file__).parents[1] / 'data' / 'goldens'


def golden(name):
    return json.loads((GOLDENS / name).read_text())


def cut(num_frames, segments, clip_len, stride, **more):
    """The items of a video at one sampled frame per second."""
    facts = dict(num_sampled_frames=num_frames, sample_fps=1.0)
    actions = Segments(np.array(segments), np.zeros(len(segments)))
    return w.cut_video(facts, actions, clip_len=clip_len, stride=stride, **more)[0]


def shortest_action(*layout, **more):
    return cut(*layout, test_mode=True, **more)[0]['min_segment_f']


def test_offsets_by_hand_and_of_afsd_inference():
    expected = {100: [0, 25, 50, 60], 90: [0, 25, 50], 40: [0], 1: [0]}
    for num_frames, offsets in expected.items():
        assert w.window_offsets(num_frames, 40, 25) == offsets
    for num_frames, offsets in golden('afsd_test_offsets.json').items():
        assert w.window_offsets(int(num_frames), 256, 128) == offsets


@given(st.integers(1, 500), st.integers(1, 80), st.integers(1, 80))
def test_offsets_reach_the_end(num_frames, clip_len, stride):
    offsets = w.window_offsets(num_frames, clip_len, stride)
    assert offsets == sorted(set(offsets)) and offsets[0] == 0
    assert offsets[-1] == max(num_frames - clip_len, 0)
    assert all(b - a <= stride for a, b in zip(offsets, offsets[1:], strict=False))


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        *((name, [0, -1], 'positive') for name in ('num_frames', 'clip_len', 'stride')),
        *((name, [0, 1.1, float('nan')], name) for name in ('keep_ioa', 'min_ioa')),
        ('segments', [np.array([[2.0, 2.0]])], 'positive length'),
    ],
)
def test_impossible_arguments(name, values, message):
    layout = dict(num_frames=10, segments=np.array([[1.0, 2.0]]), clip_len=10, stride=5)
    for value in values:
        with pytest.raises(ValueError, match=message):
            w.training_windows(**{**layout, name: value})


def test_training_windows_by_hand():
    segments = np.array([[2.0, 6.0], [9.5, 13.5]])
    found = w.training_windows(20, segments, clip_len=10, stride=5)
    # Offset 0 holds all of the first and 1/8 of the second; offset 5 holds 1/4 of the
    # first and all of the second; offset 10 holds 7/8 of the second but nothing whole.
    assert [window.offset for window in found] == [0, 5]
    segments_and_indices = [(x.segments.tolist(), x.indices.tolist()) for x in found]
    assert segments_and_indices == [([[2, 6]], [0]), ([[4.5, 8.5]], [1])]
    found = w.training_windows(20, segments, clip_len=10, stride=5, keep_ioa=0.875)
    assert [window.offset for window in found] == [0, 5, 10]
    np.testing.assert_array_equal(found[2].segments, [[0, 3.5]])
    # Partly seen actions are cut at the window.
    segments = np.array([[0.0, 4.0], [8.0, 12.0], [7.0, 15.0]])
    (window,) = w.training_windows(10, segments, clip_len=10, stride=5)
    np.testing.assert_array_equal(window.segments, [[0, 4], [8, 10]])
    np.testing.assert_array_equal(window.indices, [0, 1])


def test_only_windows_with_a_whole_action_are_kept():
    for segments in (np.zeros((0, 2)), np.array([[1.0, 40.0]])):
        assert w.training_windows(50, segments, 10, 5) == []
    # One of the first frame counts unless windows are one-based.
    segments = np.array([[0.3, 4.0]])
    assert len(w.training_windows(10, segments, 10, 5)) == 1
    assert w.training_windows(10, segments, 10, 5, one_based_window=True) == []


def test_testing_windows_keep_empty_ones():
    found = cut(30, [[12.0, 18.0]], 10, 10, test_mode=True)
    assert [item['window_offset'] for item in found] == [0, 10, 20]
    assert [len(item['gt_labels']) for item in found] == [0, 1, 0]
    assert found[0]['gt_segments'].shape == (0, 2)


@given(
    st.lists(
        st.tuples(st.floats(0, 90), st.floats(0.01, 10)), min_size=1, max_size=5
    ).map(lambda rows: np.array([[s, min(s + d, 100)] for s, d in rows]))
)
def test_every_action_that_fits_is_whole_in_some_window(segments):
    # Windows of 30 at stride 20 overlap by 10, the length of the longest action.
    found = w.training_windows(100, segments, clip_len=30, stride=20)
    whole = set()
    for window in found:
        assert (window.segments >= 0).all() and (window.segments <= 30).all()
        back = window.segments + window.offset
        exact = np.isclose(back, segments[window.indices], atol=1e-9).all(axis=1)
        whole |= set(window.indices[exact].tolist())
    assert whole == set(range(len(segments)))


def test_first_clips_equal_afsd():
    expected = golden('afsd_split_videos.json')
    table = np.array(expected['annotations'])
    layout = [expected[name] for name in ('clip_length', 'stride')]
    found = w.training_windows(
        expected['sample_count'], table[:, :2], *layout, one_based_window=True
    )
    clips = expected['first_clips']
    assert [window.offset for window in found] == [clip['offset'] for clip in clips]
    for window, clip in zip(found, clips, strict=True):
        rows = np.hstack([window.segments, table[window.indices, 2:]])
        np.testing.assert_allclose(rows, clip['annotations'], atol=1e-9)


@pytest.mark.parametrize(
    'setting',
    ['val_256_30', 'val_256_128', 'val_128_16', 'test_256_128', 'val_768_768'],
)
def test_all_clips_and_their_shortest_actions_equal_afsd(setting, afsd_thumos14):
    expected = golden('e_split_videos.json')[setting]
    split, *layout = setting.split('_')
    layout = list(map(int, layout))
    lines, num_annotations, shortest = [], 0, []
    for video, (num_frames, table) in afsd_thumos14[split].items():
        cut = num_frames, table[:, :2], *layout
        for window in w.training_windows(*cut, one_based_window=True):
            num_annotations += len(window.indices)
            rows = np.c_[window.segments, table[window.indices, 2]]
            text = ';'.join('{:.6f},{:.6f},{:.0f}'.format(*row) for row in rows)
            lines.append(f'{video}|{window.offset}|{text}')
        length = shortest_action(*cut, one_based_window=True) or layout[0]
        shortest.append(f'{video}|{math.ceil(min(layout[0], length))}')
    assert len(lines) == expected['n_clips']
    assert num_annotations == expected['n_clip_annos']
    for found, name in ((lines, 'sha256'), (shortest, 'min_anno_sha256')):
        digest = hashlib.sha256('\n'.join(found).encode()).hexdigest()
        assert digest == expected[name]


def test_shortest_action_by_hand():
    segments = np.array([[0.0, 8.0], [9.0, 12.0]])
    assert shortest_action(20, segments, 10, 10) == 2.0
    assert shortest_action(20, segments, 12, 12) == 3.0
    assert shortest_action(20, np.zeros((0, 2)), 10, 10) is None


# Windows of an open video


def listed(reader, **settings):
    return list(w.video_windows(reader, 'v', **settings))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25), st.booleans())
def test_any_number_of_frames_is_cut_alike(count, clip_len, stride, is_generator):
    frames = [np.full((1, 1, 3), index, np.uint8) for index in range(count)]
    reader = ArrayReader(iter(frames) if is_generator else frames, 10)
    settings = dict(clip_len=clip_len, window_stride=stride)
    load, offsets = LoadClip(), []
    for item in w.video_windows(reader, 'v', sample_fps=10, **settings):
        offsets.append(item['window_offset'])
        values = [img[0, 0, 0] for img in load(item)['imgs']]
        expected = list(range(count))[offsets[-1] : offsets[-1] + clip_len]
        assert values == expected + [127.5] * (clip_len - len(expected))
    assert offsets == w.window_offsets(count, clip_len, stride)


def test_fixed_number_of_frames_is_one_window():
    frames = np.zeros((50, 1, 1, 3), np.uint8)
    settings = dict(num_frames_per_video=8, clip_len=8)
    (item,) = listed(ArrayReader(frames, 10), **settings)
    assert (item['num_sampled_frames'], item['sample_fps']) == (8, 1.6)
    assert item['gt_segments'].shape == (0, 2) and item['gt_labels'].shape == (0,)
    with pytest.raises(VideoReadError, match='v: .*not known in advance'):
        listed(ArrayReader(iter(frames), 10), **settings)
    # By default windows overlap by half.
    offsets = [x['window_offset'] for x in listed(ArrayReader(frames, 10), clip_len=16)]
    assert offsets == [0, 8, 16, 24, 32, 34]
