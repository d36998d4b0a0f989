"""The synthetic data set: what it promises about motion, time and files."""

import hashlib
import json
import math
import shutil
import sys
from itertools import islice, pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets import synthetic
from mmtal_mts.datasets.synthetic import (
    CLASSES,
    SyntheticSettings,
    SyntheticVideo,
    generate_dataset,
)
from mmtal_mts.datasets.synthetic_scene import (
    CONTEXT_CLASSES,
    MOTIONS,
    Y_HIGH,
    Y_LOW,
    render,
)

TINY = dict(num_train=2, num_test=1, seed=5, duration=(4.0, 6.0), size=32, fps=(10, 12))

# Brightness of a frame of its first test video, in blocks of 16 x 16 pixels.
QUICK_START_FRAME = (
    (93.69, 95.90, 96.19, 87.53),
    (94.46, 102.21, 90.78, 98.82),
    (94.06, 100.63, 94.60, 102.63),
    (82.06, 95.94, 95.74, 106.76),
)


def tiny(**changes):
    return SyntheticSettings(**{**TINY, **changes})


def generate(folder, workers=1, overwrite=False, **changes):
    generate_dataset(folder, tiny(**changes), workers, overwrite)


def digests(folder):
    files = (path for path in sorted(folder.rglob('*')) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def circular_steps(x):
    """Steps of a coordinate that wraps around at 1, the short way."""
    return (np.diff(x) + 0.5) % 1.0 - 0.5


def check_band(poses):
    _, y, level = poses
    assert y.min() >= Y_LOW - 1e-6 and y.max() <= Y_HIGH + 1e-6
    assert level.min() >= 0 and level.max() <= 1


def videos(split, count):
    return [SyntheticVideo(SyntheticSettings(), split, index) for index in range(count)]


def sampled_actions(split, count, step_s):
    """(class, (3, T) poses at every step) of every action of some videos."""
    return [
        (part.label, video.poses(np.arange(part.start_s, part.end_s - 1e-6, step_s)))
        for video in videos(split, count)
        for part in video.actions
    ]


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp('synthetic')
    generate(out)
    return out


# The script


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), duration=st.floats(1.5, 90.0))
def test_script_covers_the_video_with_legal_lengths_and_without_jumps(seed, duration):
    wanted = tiny(seed=seed, duration=(duration, duration), fps=(10,))
    video = SyntheticVideo(wanted, 'train', 0)
    parts, poses = video.parts, video.poses(np.arange(0, video.duration_s, 0.01))
    assert parts[0].start_s == 0.0 and parts[-1].end_s == video.duration_s
    assert video.actions
    for before, after in pairwise(parts):
        assert before.end_s == after.start_s
        # Actions and gaps alternate, so actions neither touch nor overlap.
        assert (before.label is None) != (after.label is None)
        end, start = before.motion(before.end_s - before.start_s), after.motion(0.0)
        assert circular_steps([end[0], start[0]]) == pytest.approx(0, abs=1e-9)
        assert start[1:] == pytest.approx(end[1:], abs=1e-9)
    for part in parts:
        low, high = (0.5, 4.0) if part.label is None else (0.5, 12.0)
        # Boundaries are cut to milliseconds.
        assert low - 0.0011 <= part.end_s - part.start_s <= high + 0.0011
        # The motion changes exactly there; between actions the actor only drifts.
        times = np.r_[part.start_s + np.array([0, 0.001, 0.02]), part.end_s - 0.001]
        found = video.poses(times)
        assert found == pytest.approx(part.motion(times - part.start_s))
        if part.label is None:
            assert (np.abs(circular_steps(found[0])) < 0.013 * np.diff(times)).all()
            assert found[2] == pytest.approx(found[2, 0])
    assert poses.shape[0] == 3 and poses[0].min() >= 0 and poses[0].max() < 1
    check_band(poses)


def test_classes_move_as_their_names_say_in_every_second():
    actions = sampled_actions('train', 60, 0.01)
    assert {label for label, _ in actions} == set(CLASSES)
    for label, (x, y, level) in actions:
        dx, dy, growth = circular_steps(x), np.diff(y), np.diff(level)
        if label in ('grow', 'approach_leave'):
            assert not dx.any() and not dy.any()
        else:
            assert not growth.any()
        if label in ('move_left', 'move_right'):
            speed = (-1 if label == 'move_left' else 1) * dx / 0.01
            assert 0.3 <= speed.min() and speed.max() <= 0.85
            assert np.ptp(speed) < 1e-6 and not dy.any()
        elif label == 'circle':
            speed = np.hypot(dx, dy) / 0.01
            turn = np.diff(np.unwrap(np.arctan2(dy, dx))) / 0.01
            assert 0.099 <= speed.mean() / abs(turn.mean()) <= 0.201  # radius
            assert 0.79 <= 2 * math.pi / abs(turn.mean()) <= 2.01
            assert np.allclose(turn, turn.mean(), rtol=1e-3)  # one direction
        elif label == 'shake':
            # The path of A * sin(2 pi f t) is 4 A f long per second.
            path = np.hypot(dx, dy).sum()
            assert 4 * 0.05 * 2 * 0.8 <= path / (0.01 * len(dx))
            assert math.hypot(np.ptp(np.cumsum(dx)), np.ptp(y)) <= 0.2 + 1e-6
        elif label == 'grow':
            snaps = growth < 0
            assert (growth[~snaps] > 0).all() and (growth[snaps] < -0.9).all()
            period = 0.01 / growth[~snaps]
            assert period.max() <= 2.0 + 1e-6 and np.ptp(period) < 1e-6
        else:
            assert np.abs(growth).max() < 0.01 * math.pi / 0.5 + 1e-9  # no snap
            assert np.ptp(level) > 0.9  # the whole range, even when short
            assert (growth > 0).any() and (growth < 0).any()
        # Half a second is the shortest action; an eighth of the frame's width and
        # half of the range of sizes are plain to see.
        steps, growth = np.abs(dx) + np.abs(dy), np.abs(growth)
        for first in range(0, max(len(x) - 99, 1), 25):
            part = slice(first, first + 99)
            assert steps[part].sum() > 0.125 or growth[part].sum() > 0.45


@pytest.mark.parametrize('label', CONTEXT_CLASSES)
@pytest.mark.parametrize('y', [Y_LOW, 0.5, Y_HIGH])
def test_actions_start_anywhere_and_stay_in_the_band(label, y):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        start = np.array([0.99, y, rng.integers(2)])
        check_band(MOTIONS[label](rng, start, 0.5)(np.linspace(0, 0.5, 50)))


def test_single_frames_hardly_tell_the_class():
    def frames(*which):
        found = sampled_actions(*which, step_s=0.5)
        labels = [CLASSES.index(label) for label, _ in found]
        counts = [poses.shape[1] for _, poses in found]
        return np.hstack([poses for _, poses in found]), np.repeat(labels, counts)

    features, labels = frames('train', 400)
    grid = np.linspace(0, 1, 101)
    for row in features:
        left, right = (
            np.searchsorted(np.sort(row[labels == k]), grid) / (labels == k).sum()
            for k in (0, 1)
        )
        # About 450 independent actions per class: noise is about 0.06.
        assert np.abs(left - right).max() < 0.12
    others, truth = frames('test', 100)
    votes = np.zeros((6, 6, 6, len(CLASSES)))
    np.add.at(votes, (*np.minimum((features * 6).astype(int), 5), labels), 1)
    guess = votes[tuple(np.minimum((others * 6).astype(int), 5))].argmax(axis=1)
    assert (guess == truth).mean() < 0.3  # chance is 1 / 6


# The pictures


def test_the_videos_of_the_quick_start_stay_what_they_are():
    (video,) = videos('test', 1)
    found = video.annotation()
    assert (found['fps'], found['duration']) == (20, 38.1)
    assert [tuple(action.values()) for action in found['annotations']] == [
        ([1.293, 5.18], 'grow'),
        ([5.935, 8.712], 'move_left'),
        ([9.395, 9.895], 'shake'),
        ([10.831, 22.706], 'circle'),
        ([23.949, 26.685], 'move_right'),
        ([29.327, 31.961], 'approach_leave'),
        ([33.976, 35.779], 'grow'),
    ]
    frame = next(islice(video.frames(), 100, None))
    means = frame.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3, 4))
    # Kinds of processors may round some pixels in their own ways.
    assert means == pytest.approx(np.array(QUICK_START_FRAME), abs=0.05)


def test_frames_depend_on_seed_split_and_index_only():
    def frames(split, index, **changes):
        return np.stack(list(SyntheticVideo(tiny(**changes), split, index).frames()))

    base = frames('train', 1)
    assert base.dtype == np.uint8 and base.shape[1:] == (32, 32, 3)
    assert np.array_equal(base, frames('train', 1, num_train=9, num_test=0))
    for other in (frames('train', 0), frames('test', 1), frames('train', 1, seed=6)):
        assert not np.array_equal(base[0], other[0])


def difference(x, y, level, size=96):
    """What the actor changes in a frame, (H, W)."""
    # Same randomness, the actor in the frame or far above it.
    shown, empty = (
        next(render(np.random.default_rng(3), size, np.zeros(1), np.array(pose)))
        for pose in ([[x], [y], [level]], [[x], [y - 10], [level]])
    )
    return np.abs(shown.astype(int) - empty).sum(axis=2)


@pytest.mark.parametrize(
    ('x', 'y', 'level', 'radius'), [(0.3, 0.5, 0.0, 0.1497), (0.7, 0.4, 1.0, 0.2609)]
)
def test_the_actor_is_drawn_where_and_as_large_as_the_pose_says(x, y, level, radius):
    rows, columns = np.nonzero(difference(x, y, level) > 6)
    distance = np.hypot((columns + 0.5) / 96 - x, (rows + 0.5) / 96 - y)
    assert distance.max() == pytest.approx(radius, abs=3.5 / 96)
    # The mark is round and central whatever the shape of the body is.
    assert columns.mean() / 96 == pytest.approx(x, abs=0.03)
    assert rows.mean() / 96 == pytest.approx(y, abs=0.03)
    # At the edge it is seen on both sides.
    columns = difference(0.0, 0.5, 1.0).sum(axis=0)
    assert columns[:5].min() > 0 and columns[-5:].min() > 0
    assert not columns[43:53].any()


def test_background_moves_and_noise_flickers_while_the_actor_rests():
    frames = list(SyntheticVideo(SyntheticSettings(), 'train', 2).frames())
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 0.5
    assert np.abs(frames[0].astype(int) - frames[100]).mean() > 3.0


# The files


def test_annotations_and_frames_match_the_videos(dataset):
    content = json.loads((dataset / 'annotations.json').read_text())
    assert content['classes'] == list(CLASSES)
    assert content['generator'].items() >= dict(seed=5, fps=[10, 12]).items()
    entries = content['database'].values()
    assert [entry['subset'] for entry in entries] == ['training', 'training', 'test']
    for entry in entries:
        path = dataset / 'videos' / entry['file']
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            assert container.streams.video[0].average_rate == entry['fps']
        assert entry['duration'] == len(frames) / entry['fps']
        assert 3.9 <= entry['duration'] <= 6.1
        keys = np.flatnonzero([frame.key_frame for frame in frames])
        assert keys[0] == 0 and np.diff(keys).max() <= entry['fps']
        for action in entry['annotations']:
            assert action['label'] in CLASSES
            start, end = action['segment']
            assert 0.0 <= start < end <= entry['duration']
    rendered = SyntheticVideo(tiny(), 'test', 0).frames()
    for frame, original in zip(frames, rendered, strict=True):
        # H.264 keeps colour at half resolution; brightness survives.
        error = frame.to_ndarray(format='rgb24').mean(axis=2) - original.mean(axis=2)
        assert np.abs(error).mean() < 6


def test_default_splits_hold_all_classes_and_several_rates():
    for found in (videos('train', 96), videos('test', 24)):
        labels = [part.label for video in found for part in video.actions]
        assert min(labels.count(name) for name in CLASSES) > 0.12 * len(labels)
        assert len({video.fps for video in found}) == 3
        assert min(len(video.actions) for video in found) >= 3


def test_tool_and_workers_make_the_same_and_only_what_is_missing(
    load_tool, dataset, tmp_path, monkeypatch, capsys
):
    tool = load_tool('dataset_converters/generate_synthetic.py')
    options = '--num-train 2 --num-test 1 --seed 5 --duration 4 6 --size 32 --fps 10 12'
    options = [*options.split(), '--workers', '2']
    monkeypatch.setattr(sys, 'argv', ['tool', str(tmp_path), *options])
    wanted = digests(dataset)
    assert len(set(wanted.values())) == len(wanted) == 4  # no video repeats another
    tool.main()
    assert digests(tmp_path) == wanted
    assert 'annotations.json' in capsys.readouterr().out
    (tmp_path / 'videos' / 'synthetic_test_0000.mp4').unlink()
    generate(tmp_path)
    assert digests(tmp_path) == wanted
    # Nothing is left to do.
    monkeypatch.setattr(synthetic, 'write_video', None)
    generate(tmp_path)
    assert digests(tmp_path) == wanted
    monkeypatch.setattr(sys, 'argv', ['tool', str(tmp_path)])
    with pytest.raises(FileExistsError, match='size is 32, asked for 64'):
        tool.main()


def test_interrupted_run_leaves_nothing_half_and_is_continued(
    dataset, tmp_path, monkeypatch
):
    real_frames = SyntheticVideo.frames

    def frames(video):
        yield from islice(real_frames(video), 12)
        if video.video_id.endswith('train_0001'):
            raise KeyboardInterrupt
        yield from islice(real_frames(video), 12, None)

    with monkeypatch.context() as patch:
        patch.setattr(SyntheticVideo, 'frames', frames)
        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path)
    first, second = (tmp_path / f'videos/synthetic_train_000{i}.mp4' for i in (0, 1))
    assert first.exists() and not second.exists()
    assert not (tmp_path / 'annotations.json').exists()
    # Other settings must not adopt the finished video.
    with pytest.raises(FileExistsError, match='seed is 5, asked for 6'):
        generate(tmp_path, seed=6)
    modified = first.stat().st_mtime_ns
    generate(tmp_path)
    assert first.stat().st_mtime_ns == modified
    assert digests(tmp_path) == digests(dataset)


def test_other_settings_need_overwrite_which_spares_foreign_files(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path, dirs_exist_ok=True)
    foreign = tmp_path / 'videos' / 'holiday.mp4'
    foreign.write_bytes(b'mine')
    before = digests(tmp_path)
    with pytest.raises(FileExistsError, match='num_train is 2, asked for 1.*--over'):
        generate(tmp_path, seed=6, num_train=1)
    assert digests(tmp_path) == before
    generate(tmp_path, seed=6, num_train=1, overwrite=True)
    after = digests(tmp_path)
    assert foreign.read_bytes() == b'mine'
    assert set(before) - set(after) == {'synthetic_train_0001.mp4'}
    assert after['synthetic_train_0000.mp4'] != before['synthetic_train_0000.mp4']


def test_what_others_made_is_not_adopted(tmp_path):
    (tmp_path / 'videos').mkdir()
    for name, content in (
        ('annotations.json', '{"database": {}}'),
        ('annotations.json', '{"database"'),
        ('videos/synthetic_train_0000.mp4', '?'),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(FileExistsError, match='other settings.*--overwrite'):
            generate(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        *(({'num_train': -1}, 'num_train is -1'), ({'seed': -3}, 'seed is -3')),
        ({'num_train': 0, 'num_test': 0}, 'be positive, or num_test'),
        ({'duration': (9.0, 4.0)}, r'duration is \(9.0, 4.0\)'),
        *(({'duration': (low, 4.0)}, 'at least 1.5') for low in (0.5, math.nan)),
        *(({'size': 33}, 'size is 33, .* even'), ({'size': 16}, 'at least 32')),
        *(({'fps': (5,)}, 'fps is'), ({'fps': ()}, 'fps is')),
        ({'workers': 0}, 'workers is 0'),
    ],
)
def test_bad_settings_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path, **change)
