"""Timelines from generated clips, whose frames say which clip they are from."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.timelines import (
    Clip,
    TimelineSettings,
    assemble_dataset,
    place_background,
    plan_timelines,
    read_clips,
)
from mmtal_mts.datasets.timelines.render import letterbox, read_clip, render
from mmtal_mts.datasets.transforms.video_readers import VideoReadError
from mmtal_mts.datasets.video_writer import write_video
from mmtal_mts.structures.annotations import load_annotations

FPS = 10


def clip(name, group, actions=((0.0, 1.0, 'run'),), source=(None, None)):
    return Clip(name, f'{name}.mp4', group, tuple(actions), *source)


def write_clip(folder, name, grey, num_frames=20, fps=FPS):
    """A still grey room in which a white square walks from left to right."""
    frames = np.full((num_frames, 32, 32, 3), grey, np.uint8)
    for i, frame in enumerate(frames):
        left = i * 28 // num_frames
        frame[12:20, left : left + 4] = 255
    write_video(folder / f'{name}.mp4', frames, fps, 32)


@pytest.fixture
def folder(tmp_path):
    database = {}
    for group in ('ann', 'bob'):
        for i, label in enumerate(('run', 'walk')):
            name = f'{group}_{label}'
            write_clip(tmp_path, name, 60 + 60 * i)
            item = dict(label=label, segment=[0.0, 2.0])
            database[name] = dict(group=group, annotations=[item])
    (tmp_path / 'clips.json').write_text(json.dumps(dict(database=database)))
    return tmp_path


def order(timeline):
    return [(part.clip.clip_id, part.background_s is not None) for part in timeline]


def test_unordered_clips_are_shuffled_with_background_around_each():
    clips = [clip(f'{g}{i}', g) for g in 'ab' for i in range(6)]
    planned = plan_timelines(clips, TimelineSettings(per_group=3, folds=2))
    assert [t.name for t in planned] == ['a_0', 'a_1', 'a_2', 'b_0', 'b_1', 'b_2']
    assert [t.fold for t in planned] == [0, 0, 0, 1, 1, 1]
    for timeline in planned:
        made = [part.background_s for part in timeline.parts[::2]]
        assert len(made) == 7 and all(1.0 <= length <= 3.0 for length in made)
        shown = [part.clip.clip_id for part in timeline.parts[1::2]]
        assert sorted(shown) == [f'{timeline.group}{i}' for i in range(6)]
    orders = {tuple(order(t.parts[1::2])) for t in planned[:3]}
    assert len(orders) == 3
    again = plan_timelines(clips, TimelineSettings(per_group=3, folds=2))
    assert planned == again


def test_groups_share_the_orders_of_their_labels():
    labels = 'bend', 'jump', 'run', 'walk', 'wave'
    clips = [
        clip(f'{g}_{label}{i}', g, actions=[(0.0, 1.0, label)])
        for g in 'ab'
        for label in labels
        for i in range(1 if (g, label) == ('b', 'run') else 2)
    ]
    wanted = TimelineSettings(per_group=3, folds=2, shared_order=True)
    planned = plan_timelines(clips, wanted)

    def shown(timeline):
        return [part.clip.clip_id[2:] for part in timeline.parts[1::2]]

    def kinds(timeline):
        return list(dict.fromkeys(name[:-1] for name in shown(timeline)))

    first, second = planned[:3], planned[3:]
    for one, other in zip(first, second):
        assert kinds(one) == kinds(other) and sorted(kinds(one)) == sorted(labels)
        assert len(shown(one)) == 10 and len(shown(other)) == 9
    assert len({tuple(kinds(timeline)) for timeline in first}) == 3
    # Gaps and the order of clips with one label are still each timeline's own.
    assert len({timeline.parts[0].background_s for timeline in planned}) == 6
    assert shown(first[0]) != shown(second[0])


def test_a_known_order_is_stronger_than_a_shared_one():
    clips = [
        clip(f'{g}{i}', g, [(0.0, 1.0, label)], source=(100 * i, 100 * i + 50))
        for g, names in dict(a='xyz', b='zyx').items()
        for i, label in enumerate(names)
    ]
    settings = dict(folds=2, made_background=False)
    known = plan_timelines(clips, TimelineSettings(**settings))
    shared = plan_timelines(clips, TimelineSettings(**settings, shared_order=True))
    assert known == shared
    assert [p.clip.clip_id for p in known[0].parts] == ['a0', 'a1', 'a2']


def test_known_order_is_kept_and_overlap_is_shown_once():
    clips = [
        clip('late', 'g', source=(90, 150)),
        clip('early', 'g', source=(0, 100)),
        clip('inside', 'g', source=(20, 80)),
        clip('room1', 'g', actions=()),
        clip('room2', 'g', actions=()),
    ]
    (timeline,) = plan_timelines(clips, TimelineSettings(folds=1, per_group=5))
    shown = [p.clip.clip_id for p in timeline.parts]
    assert [name for name in shown if 'room' not in name] == ['early', 'inside', 'late']
    assert [name for name in shown if 'room' in name] == ['room1', 'room2']
    skipped = {p.clip.clip_id: p.skip_frames for p in timeline.parts}
    assert skipped == dict(early=0, inside=80, late=10, room1=0, room2=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_a_group_is_tested_in_one_fold(num_groups, folds, seed):
    clips = [clip(f'{g}_{i}', str(g)) for g in range(num_groups) for i in range(2)]
    wanted = TimelineSettings(folds=folds, seed=seed, per_group=2)
    if num_groups < folds:
        with pytest.raises(ValueError, match='folds'):
            plan_timelines(clips, wanted)
        return
    planned = plan_timelines(clips, wanted)
    folds_of = {}
    for timeline in planned:
        folds_of.setdefault(timeline.group, set()).add(timeline.fold)
    assert all(len(found) == 1 for found in folds_of.values())
    assert {fold for found in folds_of.values() for fold in found} == set(range(folds))


def test_annotations_agree_with_the_frames(folder):
    clips = read_clips(folder / 'clips.json', folder)
    wanted = TimelineSettings(size=32, fps=20, folds=2, gap=(0.5, 1.0))
    paths = assemble_dataset(clips, folder / 'out', wanted, progress=False)
    assert [path.name for path in paths] == [
        'annotations_fold0.json',
        'annotations_fold1.json',
    ]
    annotations = load_annotations(str(paths[0]))
    assert annotations.classes == ('run', 'walk')
    assert {v.video_id: v.subset for v in annotations.videos.values()} == {
        'ann_0': 'test',
        'bob_0': 'training',
    }
    for video in annotations.videos.values():
        path = folder / 'out' / 'videos' / video.file
        frames, times = read_clip(Clip('x', str(path), 'x', ()))
        assert times.fps == 20 and len(frames) == pytest.approx(video.duration * 20)
        # A walker is white; an empty room is nowhere.
        walker = frames.reshape(len(frames), -1).max(axis=1) > 220
        inside = np.zeros(len(frames), bool)
        for start, end in video.segments:
            assert end - start == pytest.approx(2.0)
            inside[round(start * 20) : round(end * 20)] = True
        np.testing.assert_array_equal(walker, inside)


def test_second_call_makes_only_what_is_missing(folder):
    clips = read_clips(folder / 'clips.json', folder)
    wanted = TimelineSettings(size=32, folds=2)
    out = folder / 'out'
    (first, _) = assemble_dataset(clips, out, wanted, progress=False)
    content = first.read_text()
    kept, lost = out / 'videos' / 'ann_0.mp4', out / 'videos' / 'bob_0.json'
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    assemble_dataset(clips, out, wanted, progress=False)
    assert kept.stat().st_mtime_ns == stamp and lost.is_file()
    assert first.read_text() == content
    with pytest.raises(FileExistsError, match='other settings'):
        assemble_dataset(clips, out, TimelineSettings(folds=1), progress=False)


def test_skipped_frames_move_the_action(folder):
    source = read_clips(folder / 'clips.json', folder)[0]
    first = Clip('a', source.path, 'g', ((0.5, 1.5, 'run'),), 0, 20)
    second = Clip('b', source.path, 'g', ((0.5, 2.0, 'run'),), 12, 32)
    wanted = TimelineSettings(size=32, fps=FPS, folds=1, made_background=False)
    (timeline,) = plan_timelines([first, second], wanted)
    parts = list(render(timeline, wanted))
    assert [len(part.frames) for part in parts] == [20, 12]
    assert parts[0].actions == [(0.5, 1.5, 'run')]
    # Its first 0.3 s are in the frames that the first clip has shown.
    ((start, end, _),) = parts[1].actions
    assert (start, end) == pytest.approx((-0.3, 1.2))
    paths = assemble_dataset([first, second], folder / 'out', wanted, progress=False)
    (video,) = load_annotations(str(paths[0])).videos.values()
    # Frames 5..15 and 17..32 of the recording, at 10 a second.
    np.testing.assert_allclose(video.segments, [[0.5, 1.5], [1.7, 3.2]])
    assert video.duration == pytest.approx(3.2)


def test_an_action_wholly_shown_before_keeps_its_time(folder):
    source = read_clips(folder / 'clips.json', folder)[0]
    first = Clip('a', source.path, 'g', ((0.5, 1.5, 'run'),), 0, 20)
    inside = Clip('b', source.path, 'g', ((0.2, 1.0, 'walk'),), 0, 20)
    wanted = TimelineSettings(size=32, fps=FPS, folds=1, made_background=False)
    (timeline,) = plan_timelines([first, inside], wanted)
    parts = list(render(timeline, wanted))
    assert [len(part.frames) for part in parts] == [20, 0]
    assert parts[1].actions[0][:2] == pytest.approx((-1.8, -1.0))


def test_an_action_behind_its_clip_is_named(folder):
    source = read_clips(folder / 'clips.json', folder)[0]
    late = Clip('b', source.path, 'g', ((2.5, 3.0, 'run'),))
    wanted = TimelineSettings(size=32, fps=FPS, folds=1, made_background=False)
    (timeline,) = plan_timelines([late], wanted)
    with pytest.raises(VideoReadError, match='the action run begins at 2.50 s'):
        list(render(timeline, wanted))


def test_frame_rate_of_the_files_can_be_overruled(folder):
    source = read_clips(folder / 'clips.json', folder)[0]
    half = Clip('a', source.path, 'g', ((0.0, 1.0, 'run'),))
    wanted = TimelineSettings(
        size=32, fps=FPS, folds=1, made_background=False, clip_fps=20
    )
    (timeline,) = plan_timelines([half], wanted)
    (part,) = render(timeline, wanted)
    assert len(part.frames) == 10 and part.actions == [(0.0, 1.0, 'run')]


def test_background_is_made_of_clips_with_the_named_labels():
    still, moving = (0.0, 1.0, 'wave'), (0.0, 1.0, 'walk')
    clips = [clip(f'wave{i}', 'g', [still]) for i in range(4)]
    clips += [clip(f'walk{i}', 'g', [moving]) for i in range(2)]
    wanted = TimelineSettings(folds=1, background_labels=('walk', 'run'))
    (timeline,) = plan_timelines(clips, wanted)
    made = [p.clip.clip_id for p in timeline.parts if p.background_s is not None]
    assert len(made) == 7 and all(name.startswith('walk') for name in made)
    # The nearest one.
    shown = [p.clip.clip_id for p in timeline.parts if p.background_s is None]
    walks = [i for i, name in enumerate(shown) if name.startswith('walk')]
    for place, name in enumerate(made):
        gaps = {shown[i]: abs(i + 0.5 - place) for i in walks}
        assert gaps[name] == min(gaps.values())
    with pytest.raises(ValueError, match='group g has no clip'):
        plan_timelines(clips[:4], wanted)


def test_unplaced_background_does_not_part_what_clips_share():
    clips = [
        clip('a', 'g', source=(0, 100)),
        clip('b', 'g', source=(90, 150)),
        *(clip(f'room{i}', 'g', actions=()) for i in range(20)),
    ]
    for seed in range(5):
        wanted = TimelineSettings(folds=1, seed=seed)
        (timeline,) = plan_timelines(clips, wanted)
        shown = [part.clip.clip_id for part in timeline.parts]
        assert len(shown) == 22 and shown.index('b') == shown.index('a') + 1


@pytest.fixture
def boxed(tmp_path):
    """A recording: two actions with boxes of their own, and windows before each."""
    frames = np.full((10, 32, 96, 3), 90, np.uint8)
    for name, width, count in (
        *(('act1', 32, 10), ('act2', 64, 10), ('w1', 32, 4), ('w2', 32, 4)),
        *(('w3', 64, 4), ('w4', 64, 4), ('w5', 96, 4)),
    ):
        cut = np.ascontiguousarray(frames[:count, :, :width])
        write_frames(tmp_path / f'{name}.mp4', cut)
    paths = {path.stem: str(path) for path in tmp_path.glob('*.mp4')}
    # Labels are frames 22..28 and 42..48.
    clips = [
        Clip('act1', paths['act1'], 'g', ((0.2, 0.8, 'run'),), 20, 30),
        Clip('act2', paths['act2'], 'g', ((0.2, 0.8, 'run'),), 40, 50),
    ]
    names = ('w1', 'w2', 'w3', 'w4', 'w5')
    return clips + [Clip(name, paths[name], 'g', ()) for name in names]


def write_frames(path, frames):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())


def test_background_finds_its_place_by_its_crop(boxed):
    clips = place_background(boxed)
    placed = {c.clip_id: (c.source_start, c.source_end) for c in clips}
    # Eight frames in the middle of 0..22, and eight of 28..42.
    assert placed['w1'] == (7, 11) and placed['w2'] == (11, 15)
    assert placed['w3'] == (31, 35) and placed['w4'] == (35, 39)
    # No action has this box.
    assert placed['w5'] == (None, None)
    (timeline,) = plan_timelines(clips, TimelineSettings(folds=1))
    shown = [p.clip.clip_id for p in timeline.parts if p.clip.clip_id != 'w5']
    assert shown == ['w1', 'w2', 'act1', 'w3', 'w4', 'act2']
    assert all(part.background_s is None for part in timeline.parts)


def test_a_gap_holds_no_more_windows_than_fit(boxed):
    first = dataclasses.replace(boxed[0], source_start=4, source_end=14)
    placed = place_background([first, *boxed[1:]])
    known = [c.clip_id for c in placed if c.source_start is not None]
    # Six frames before the first label have room for one window of four.
    assert known == ['act1', 'act2', 'w1', 'w3', 'w4']


def test_the_same_call_gives_the_same_files(folder):
    clips = read_clips(folder / 'clips.json', folder)
    wanted = TimelineSettings(size=32, folds=2, seed=3)
    for name in ('one', 'two'):
        assemble_dataset(clips, folder / name, wanted, progress=False)
    first = sorted(p for p in (folder / 'one').rglob('*') if p.is_file())
    assert len(first) == 7
    for path in first:
        twin = folder / 'two' / path.relative_to(folder / 'one')
        assert twin.read_bytes() == path.read_bytes(), path.name


def test_csv_and_whole_clips(folder):
    (folder / 'clips.csv').write_text(
        'video,label,start,end,person\n'
        'ann_run.mp4,run,,,ann\n'
        'ann_walk,walk,0.5,1.5,ann\n'
        'bob_run,,,,bob\n'
    )
    first, second, third = read_clips(folder / 'clips.csv', folder, 'person')
    assert first.actions == ((0.0, float('inf'), 'run'),) and first.clip_id == 'ann_run'
    assert second.actions == ((0.5, 1.5, 'walk'),) and second.group == 'ann'
    assert third.actions == () and third.group == 'bob'
    wanted = TimelineSettings(size=32, fps=FPS, folds=1, made_background=False)
    (timeline,) = plan_timelines([first], wanted)
    (part,) = render(timeline, wanted)
    assert part.actions == [(0.0, 2.0, 'run')]


def test_letterbox_keeps_the_shape():
    frame = np.full((10, 40, 3), 200, np.uint8)
    square = letterbox(frame, 20)
    rows = square[:, 0, 0] > 0
    assert rows.sum() == 5 and rows[7:12].all()
    assert letterbox(np.zeros((1, 500, 3), np.uint8), 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'expected'),
        ('{"database": {}}', 'no clip'),
        ('{"database": {"none": {}}}', 'no video .*none'),
        (
            '{"database": {"ann_run": {"annotations": '
            '[{"label": "x", "segment": [2, 1]}]}}}',
            'has no length',
        ),
        ('{"database": {"ann_run": {"source_frames": [5, 5]}}}', 'source_frames'),
    ],
)
def test_bad_lists_are_named(folder, content, message):
    path = folder / 'bad.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_clips(path, folder)
    assert 'bad.json' in str(caught.value)


def test_bad_csv_is_named(folder):
    (folder / 'a.csv').write_text('file,label\nx,run\n')
    with pytest.raises(ValueError, match=r"column\(s\) \['video'\]"):
        read_clips(folder / 'a.csv', folder)
    (folder / 'b.csv').write_text('video,label,start,end\nann_run,run,a,1\n')
    with pytest.raises(ValueError, match='line 2'):
        read_clips(folder / 'b.csv', folder)


def test_bad_settings_and_groups_are_named():
    for name, value in (('size', 31), ('fps', 0), ('gap', (2, 1)), ('folds', 0)):
        with pytest.raises(ValueError, match=name):
            TimelineSettings(**{name: value})
    with pytest.raises(ValueError, match='no clip with an action'):
        plan_timelines([clip('a', 'g', actions=())], TimelineSettings(folds=1))


def test_broken_clip_is_named(tmp_path):
    path = tmp_path / 'broken.mp4'
    path.write_bytes(b'no video')
    with pytest.raises(ValueError, match=r'broken\.mp4'):
        read_clip(Clip('broken', str(path), 'g', ()))


def test_tool(folder, repo_root, child_env):
    tool = repo_root / 'tools' / 'dataset_converters' / 'assemble_timelines.py'
    result = subprocess.run(
        [sys.executable, tool, folder / 'clips.json', folder, folder / 'out']
        + ['--size', '32', '--folds', '2'],
        env=child_env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert '1 videos to train on, 1 to test, 4 actions' in result.stdout
