"""Timelines from generated clips, whose frames say which clip they are from."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from mmtal_mts.datasets.timelines import (
    Clip,
    TimelineSettings,
    assemble_dataset,
    plan_timelines,
    read_clips,
)
from mmtal_mts.datasets.timelines.render import letterbox, read_clip, render
from mmtal_mts.datasets.transforms.video_readers import VideoReadError
from mmtal_mts.datasets.video_writer import write_video
from mmtal_mts.structures.annotations import load_annotations

FPS = 10


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


def test_a_folder_that_is_older_than_a_setting_is_gone_on_with(folder):
    clips = read_clips(folder / 'clips.json', folder)
    out, wanted = folder / 'out', TimelineSettings(size=32, folds=2)
    assemble_dataset(clips, out, wanted, progress=False)
    record = json.loads((out / 'settings.json').read_text())
    del record['settings']['shared_order']
    (out / 'settings.json').write_text(json.dumps(record))
    shared = TimelineSettings(size=32, folds=2, shared_order=True)
    with pytest.raises(FileExistsError, match='other settings'):
        assemble_dataset(clips, out, shared, progress=False)
    assert len(assemble_dataset(clips, out, wanted, progress=False)) == 2


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
