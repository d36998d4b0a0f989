"""Timelines: which clip comes when, and what is seen and annotated in the video."""

from __future__ import annotations

import copy
import dataclasses
import json
from itertools import product

import assemble_timelines
import cv2
import numpy as np
import pytest
import yaml
from assemble_timelines import letterbox, measure, read_clip, render
from clips import (
    Clip,
    Part,
    Timeline,
    TimelineSettings,
    place_background,
    plan_timelines,
    read_clips,
    show_one_box,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmtal_mts.datasets.video import VideoReadError, write_video
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils.io import write_json

FPS = 10


def clip(name, group, actions=((0.0, 1.0, 'run'),), source=(None, None)):
    return Clip(name, f'{name}.mp4', group, tuple(actions), *source)


def names(parts):
    return [part.clip.clip_id for part in parts]


def plan(clips, folds=1, **wanted):
    return plan_timelines(clips, TimelineSettings(folds=folds, **wanted))


def test_unordered_clips_are_shuffled_with_background_around_each():
    clips = [clip(f'{g}{i}', g) for g in 'ab' for i in range(6)]
    planned = plan(clips, 2, per_group=3)
    assert [t.name for t in planned] == ['a_0', 'a_1', 'a_2', 'b_0', 'b_1', 'b_2']
    assert [t.fold for t in planned] == [0, 0, 0, 1, 1, 1]
    for timeline in planned:
        made = [part.background_s for part in timeline.parts[::2]]
        assert len(made) == 7 and all(1.0 <= length <= 3.0 for length in made)
        shown = names(timeline.parts[1::2])
        assert sorted(shown) == [f'{timeline.group}{i}' for i in range(6)]
    assert len({tuple(names(t.parts[1::2])) for t in planned[:3]}) == 3
    assert planned == plan(clips, 2, per_group=3)


def test_groups_share_the_orders_of_their_labels():
    labels = 'bend', 'jump', 'run', 'walk', 'wave'
    clips = [
        clip(f'{g}_{label}{i}', g, actions=[(0.0, 1.0, label)])
        for g in 'ab'
        for label in labels
        for i in range(1 if (g, label) == ('b', 'run') else 2)
    ]
    planned = plan(clips, 2, per_group=3, shared_order=True)
    shown = [[name[2:] for name in names(t.parts[1::2])] for t in planned]
    kinds = [list(dict.fromkeys(name[:-1] for name in one)) for one in shown]
    assert kinds[:3] == kinds[3:] and sorted(kinds[0]) == sorted(labels)
    assert [len(one) for one in shown] == [10] * 3 + [9] * 3
    assert len({tuple(one) for one in kinds}) == 3
    # Gaps and the order of clips with one label are still each timeline's own.
    assert len({timeline.parts[0].background_s for timeline in planned}) == 6
    assert shown[0] != shown[3]


def test_known_order_is_kept_even_if_one_is_shared_and_overlap_is_shown_once():
    clips = [
        clip('late', 'g', source=(90, 150)),
        clip('early', 'g', source=(0, 100)),
        clip('inside', 'g', source=(20, 80)),
        *(clip(f'room{i}', 'g', actions=()) for i in range(20)),
    ]
    for seed in range(5):
        (timeline,) = plan(clips, per_group=5, seed=seed, shared_order=seed > 2)
        shown = names(timeline.parts)
        # Background without a place does not part what clips share.
        first = shown.index('early')
        assert shown[first : first + 3] == ['early', 'inside', 'late']
        assert [n for n in shown if 'room' in n] == [f'room{i}' for i in range(20)]
        skipped = {p.clip.clip_id: p.skip_frames for p in timeline.parts}
        assert (skipped['early'], skipped['inside'], skipped['late']) == (0, 80, 10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_a_group_is_tested_in_one_fold(num_groups, folds, seed):
    clips = [clip(f'{g}_{i}', str(g)) for g in range(num_groups) for i in range(2)]
    if num_groups < folds:
        with pytest.raises(ValueError, match='folds'):
            plan(clips, folds, seed=seed, per_group=2)
        return
    found = {(t.group, t.fold) for t in plan(clips, folds, seed=seed, per_group=2)}
    assert len(found) == num_groups
    assert {fold for _, fold in found} == set(range(folds))


def test_background_is_made_of_the_nearest_clip_with_the_named_labels():
    labels = ['wave'] * 4 + ['walk'] * 2
    clips = [clip(f'{x}{i}', 'g', [(0.0, 1.0, x)]) for i, x in enumerate(labels)]
    wanted = dict(background_labels=('walk', 'run'))
    (timeline,) = plan(clips, **wanted)
    made, shown = names(timeline.parts[::2]), names(timeline.parts[1::2])
    walks = [i for i, name in enumerate(shown) if name.startswith('walk')]
    assert len(made) == 7
    for place, name in enumerate(made):
        gaps = {shown[i]: abs(i + 0.5 - place) for i in walks}
        assert gaps[name] == min(gaps.values())
    with pytest.raises(ValueError, match='group g has no clip with only walk, run'):
        plan(clips[:4], **wanted)
    with pytest.raises(ValueError, match='no clip with an action'):
        plan([clip('a', 'g', actions=())])


def test_bad_settings_are_named():
    for name, value in dict(size=31, fps=0, gap=(2, 1), folds=0).items():
        with pytest.raises(ValueError, match=name):
            TimelineSettings(**{name: value})


def test_background_finds_its_place_by_its_crop():
    # Labels are frames 22..28 and 42..48; windows of four frames before each.
    act = ((0.2, 0.8, 'run'),)
    clips = [clip('act1', 'g', act, (20, 30)), clip('act2', 'g', act, (40, 50))]
    clips += [clip(f'w{i}', 'g', ()) for i in range(1, 6)]
    widths = dict(act1=32, act2=64, w1=32, w2=34, w3=64, w4=64, w5=96)

    def facts(one):
        return (32, widths[one.clip_id]), 10 if one.actions else 4, FPS

    placed = {c.clip_id: c for c in place_background(clips, facts)}
    found = {n: (c.source_start, c.source_end) for n, c in placed.items()}
    # Eight frames in the middle of 0..22, and eight of 28..42; no action has w5's box.
    assert found['w1'] == (7, 11) and found['w2'] == (11, 15)
    assert found['w3'] == (31, 35) and found['w4'] == (35, 39)
    assert found['w5'] == (None, None)
    (timeline,) = plan(list(placed.values()))
    shown = [name for name in names(timeline.parts) if name != 'w5']
    assert shown == ['w1', 'w2', 'act1', 'w3', 'w4', 'act2']
    # Six frames before the first label have room for one window of four.
    early = dataclasses.replace(clips[0], source_start=4, source_end=14)
    placed = place_background([early, *clips[1:]], facts)
    known = [c.clip_id for c in placed if c.source_start is not None]
    assert known == ['act1', 'act2', 'w1', 'w3', 'w4']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Clips of a still grey room in which a white square walks from left to right."""
    out = tmp_path_factory.mktemp('clips')
    database = {}
    for group, (level, label) in product(('ann', 'bob'), ((60, 'run'), (120, 'walk'))):
        frames = np.full((20, 32, 32, 3), level, np.uint8)
        for i, frame in enumerate(frames):
            frame[12:20, i * 28 // 20 : i * 28 // 20 + 4] = 255
        write_video(out / f'{group}_{label}.mp4', frames, FPS)
        item = dict(label=label, segment=[0.0, 2.0])
        database[f'{group}_{label}'] = dict(group=group, annotations=[item])
    (out / 'clips.json').write_text(json.dumps(dict(database=database)))
    return out


def test_tool_makes_videos_that_agree_with_their_annotations_once(
    folder, tmp_path, monkeypatch, capsys
):
    def assemble(*more):
        places = [str(folder / 'clips.json'), str(folder), str(tmp_path)]
        options = '--size 32 --fps 20 --folds 2 --gap 0.5 1'.split()
        monkeypatch.setattr('sys.argv', ['', *places, *options, *more])
        assemble_timelines.main()

    assemble()
    assert '1 videos to train on, 1 to test, 4 actions' in capsys.readouterr().out
    record = json.loads((tmp_path / 'settings.json').read_text())['settings']
    assert record['size'] == 32 and record['made_background'] is True
    (first, _) = sorted(tmp_path.glob('annotations*.json'))
    annotations = load_annotations(str(first))
    assert annotations.classes == ('run', 'walk')
    subsets = {v.video_id: v.subset for v in annotations.videos.values()}
    assert subsets == {'ann_0': 'test', 'bob_0': 'training'}
    for video in annotations.videos.values():
        path = tmp_path / 'videos' / video.file
        frames, times = read_clip(Clip('x', str(path), 'x', ()))
        assert times.fps == 20 and len(frames) == pytest.approx(video.duration * 20)
        # A walker is white; an empty room is nowhere.
        walker = frames.reshape(len(frames), -1).max(axis=1) > 220
        inside = np.zeros(len(frames), bool)
        for start, end in video.actions.segments:
            assert end - start == pytest.approx(2.0)
            inside[round(start * 20) : round(end * 20)] = True
        np.testing.assert_array_equal(walker, inside)
    # A second call makes what is missing.
    content = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    assert len(content) == 7
    kept = tmp_path / 'videos' / 'ann_0.mp4'
    stamp = kept.stat().st_mtime_ns
    for suffix in ('json', 'mp4'):
        (tmp_path / 'videos' / f'bob_0.{suffix}').unlink()
    assemble()
    assert kept.stat().st_mtime_ns == stamp
    assert {p: p.read_bytes() for p in content} == content
    with pytest.raises(FileExistsError, match='other settings'):
        assemble('--no-made-background')


FIRST = (0.5, 1.5, 0, 20)


@pytest.mark.parametrize(
    ('spans', 'changes', 'lengths', 'actions'),
    [
        # The first 0.3 s of the second action are in frames of the first clip.
        ([FIRST, (0.5, 2.0, 12, 32)], {}, [20, 12], [(0.5, 1.5), (-0.3, 1.2)]),
        # An action that was wholly shown before keeps its time.
        ([FIRST, (0.2, 1.0, 0, 20)], {}, [20, 0], [(0.5, 1.5), (-1.8, -1.0)]),
        ([(0.0, 1.0)], {'clip_fps': 20}, [10], [(0.0, 1.0)]),
        ([(0.0, np.inf)], {}, [20], [(0.0, 2.0)]),
        ([(2.5, 3.0)], {}, [], []),
    ],
)
def test_actions_keep_their_time(folder, spans, changes, lengths, actions):
    path = str(folder / 'ann_run.mp4')
    wanted = dict(size=32, fps=FPS, made_background=False, **changes)
    clips = [
        Clip(str(i), path, 'g', ((start, end, 'run'),), *source)
        for i, (start, end, *source) in enumerate(spans)
    ]
    (timeline,) = plan(clips, **wanted)
    if not actions:
        with pytest.raises(VideoReadError, match='the action run begins at 2.50 s'):
            list(render(timeline, TimelineSettings(**wanted)))
        return
    parts = list(render(timeline, TimelineSettings(**wanted)))
    assert [len(frames) for frames, _ in parts] == lengths
    found = [pytest.approx(item[:2]) for _, part in parts for item in part]
    assert found == actions


def test_csv_lists_clips_and_background(folder, tmp_path):
    (tmp_path / 'clips.csv').write_text(
        'video,label,start,end,person\n'
        'ann_run.mp4,run,,,ann\nann_walk,walk,0.5,1.5,ann\nbob_run,,,,bob\n'
    )
    first, second, third = read_clips(tmp_path / 'clips.csv', folder, 'person')
    assert first.actions == ((0.0, float('inf'), 'run'),) and first.clip_id == 'ann_run'
    assert second.actions == ((0.5, 1.5, 'walk'),) and second.group == 'ann'
    assert third.actions == () and third.group == 'bob'
    assert measure(third) == ((32, 32), 20, FPS)


def test_letterbox_keeps_the_shape():
    square = letterbox(np.full((10, 40, 3), 200, np.uint8), 20)
    rows = square[:, 0, 0] > 0
    assert rows.sum() == 5 and rows[7:12].all()
    assert letterbox(np.zeros((1, 500, 3), np.uint8), 16).shape == (16, 16, 3)


ITEM = '{"annotations": [{"label": "x", "segment": [2, 1]}]}'


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.json', '{', 'expected'),
        ('a.json', '{"database": {}}', 'no clip'),
        ('a.json', '{"database": {"none": {}}}', 'no video .*none'),
        ('a.json', f'{{"database": {{"ann_run": {ITEM}}}}}', 'has no length'),
        ('a.json', '{"database": {"ann_run": {"source_frames": [5, 5]}}}', 'source_f'),
        ('a.csv', 'file,label\nx,run\n', "'video'.* columns video, label"),
        ('a.csv', 'video,label,start,end\nann_run,run,a,1\n', 'line 2'),
    ],
)
def test_bad_lists_are_named(folder, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f'{name}.*{message}'):
        read_clips(tmp_path / name, folder)


# A recording of 160 x 120 pixels: green tells how far right a pixel is, blue how far
# down, and red is the person. By action, the box in it and the scale of the crop.
ROOM = np.dstack(np.broadcast_arrays(0, np.arange(160), 2 * np.arange(120)[:, None]))
BOXES = {
    'hug': ((20, 10, 100, 110), 1),
    'kick': ((36, 16, 132, 116), 0.5),
    'push': ((4, 20, 156, 100), 0.5),
}
COMMON = (36, 20, 100, 100)
TABLE = 'sequence,class,start_frame,x0,y0,x1,y1\n'


@pytest.fixture(scope='module')
def crops(tmp_path_factory):
    """Crops of a recording whose scale and shape tell the action, and their boxes."""
    out = tmp_path_factory.mktemp('crops')
    database, rows = {}, [TABLE]
    for i, (label, (box, scale)) in enumerate(BOXES.items()):
        x0, y0, x1, y1 = box
        frames = []
        for time in range(20):
            room = ROOM.astype(np.uint8)
            room[30:90, 40 + 2 * time : 56 + 2 * time, 0] = 255
            crop = cv2.resize(room[y0:y1, x0:x1], None, fx=scale, fy=scale)
            frames.append(crop)
        for name in (label, f'{label}_before'):
            write_video(out / f'{name}.mp4', frames, FPS)
        start = 100 * i + 40
        database[label] = dict(
            source_frames=[start, start + 20],
            annotations=[dict(label=label, segment=[0.5, 1.5])],
        )
        database[f'{label}_before'] = dict(annotations=[])
        # The same action once more, in frames that its clip shows, and elsewhere.
        for first in (start + 5, start + 9, start + 50):
            corners = box if first == start + 5 else (0, 0, 1, 1)
            rows.append(','.join(map(str, ('seq1', label, first, *corners))) + '\n')
    for entry in database.values():
        entry['sequence'] = 1
    write_json(out / 'clips.json', dict(database=database))
    (out / 'boxes.csv').write_text(''.join(rows))
    return out


def assemble_crops(crops, out, monkeypatch, *more):
    """Calls the tool and returns the frames of the timeline by label, and of all."""
    places = [str(crops / 'clips.json'), str(crops), str(out)]
    options = '--group-by sequence --size 40 --fps 10 --folds 1 --no-made-background'
    monkeypatch.setattr('sys.argv', ['', *places, *options.split(), *more])
    assemble_timelines.main()
    (video,) = load_annotations(str(out / 'annotations_fold0.json')).videos.values()
    frames, _ = read_clip(Clip('x', str(out / 'videos' / video.file), 'x', ()))
    starts = np.rint(video.actions.segments[:, 0] * FPS).astype(int) - 5
    return {
        label: frames[start : start + 20].astype(int)
        for label, start in zip(BOXES, starts, strict=True)
    }, frames.astype(int)


ONE_BOX = '--place-background', '--boxes'


def test_all_clips_of_a_recording_show_the_same_box_at_the_same_scale(
    crops, tmp_path, monkeypatch
):
    boxes = str(crops / 'boxes.csv')
    by_label, frames = assemble_crops(crops, tmp_path, monkeypatch, *ONE_BOX, boxes)
    # Three actions, and the background that was cut with the box of each.
    assert len(frames) == 120
    x0, y0, x1, y1 = COMMON
    across = x0 + (np.arange(40) + 0.5) * (x1 - x0) / 40
    down = y0 + (np.arange(40) + 0.5) * (y1 - y0) / 40
    # In the last frames the person is at 74 to 94 of the recording; left is the room.
    room = frames[19::20, :, :16]
    np.testing.assert_allclose(
        room[..., 1], np.broadcast_to(across[:16], room.shape[:3]), atol=9
    )
    np.testing.assert_allclose(
        room[..., 2], np.broadcast_to(2 * down[:, None], room.shape[:3]), atol=12
    )
    # People are as wide and as tall, and at the same place, in all clips.
    for time in range(2, 18, 5):
        seen = [clip[time, ..., 0] > 128 for clip in by_label.values()]
        for axis, length in ((0, 60 / 80), (1, 16 / 64)):
            spans = [np.flatnonzero(person.any(axis=1 - axis)) for person in seen]
            for span in spans:
                assert len(span) == pytest.approx(40 * length, abs=2)
                assert span[0] == pytest.approx(spans[0][0], abs=1)
    # Without the boxes bars are above and below; now none is left.
    _, before = assemble_crops(crops, tmp_path / 'old', monkeypatch)
    assert (before.max(axis=(2, 3)) < 24).any() and not (frames.max(axis=3) < 24).any()


@pytest.mark.parametrize('boxes', [True, False])
def test_controls_show_no_motion_and_no_person(crops, tmp_path, monkeypatch, boxes):
    options = [*ONE_BOX, str(crops / 'boxes.csv')] if boxes else ['--place-background']
    shown = {}
    for control in ('', 'frame', 'bars'):
        more = [*options, '--control', control] if control else options
        out = tmp_path / (control or 'video')
        shown[control] = assemble_crops(crops, out, monkeypatch, *more)
        files = [path / 'annotations_fold0.json' for path in (out, tmp_path / 'video')]
        assert files[0].read_text() == files[1].read_text()
    video, still, bars = (by_label for by_label, _ in shown.values())
    for label in BOXES:
        assert np.abs(video[label][19] - video[label][0]).max() > 100
        # But for what the codec does.
        assert np.abs(still[label] - video[label][0]).max() < 40
        assert np.abs(still[label] - still[label][0]).max() < 25
        assert np.ptp(bars[label], axis=0).max() < 3
    grey = np.abs(shown['bars'][1] - 128) < 4
    black = shown['bars'][1] < 24
    assert grey.all() if boxes else (grey | black).mean() > 0.9 and black.any()


@pytest.mark.parametrize('control', ['bars', 'frame'])
def test_controls_of_made_background(folder, control):
    clips = [Clip('x', str(folder / 'ann_run.mp4'), 'g', ())]
    timeline = Timeline('t', 'g', 0, (Part(clips[0], background_s=1.0),))
    wanted = TimelineSettings(size=32, fps=FPS, control=control)
    ((pictures, actions),) = render(timeline, wanted)
    assert actions == [] and len(pictures) == 10
    assert (pictures == pictures[0]).all()
    assert (pictures == 128).all() == (control == 'bars')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('class\nhug\n', 'no row seq1, hug with start_frame in range.40, 60.'),
        (f'{TABLE}seq1,hug,70,0,0,9,9\n', 'for clip hug'),
        (f'{TABLE}seq1,hug,x,0,0,9,9\n', 'for clip hug'),
        (f'{TABLE}seq1,hug,45,0,0,9\n', 'for clip hug'),
        (f'{TABLE}seq1,hug,45,0,0,9,9\nseq1,kick,145,9,0,20,9\n', 'try --without'),
    ],
)
def test_boxes_that_do_not_fit_are_named(crops, tmp_path, content, message):
    clips = read_clips(crops / 'clips.json', crops, 'sequence')
    clips = [clip for clip in clips if clip.clip_id in ('hug', 'kick')]
    (tmp_path / 'boxes.csv').write_text(content)
    with pytest.raises(ValueError, match=rf'boxes\.csv: .*{message}'):
        show_one_box(clips, tmp_path / 'boxes.csv')


def test_labels_are_left_out_with_their_background(
    crops, tmp_path, monkeypatch, capsys
):
    boxes = str(crops / 'boxes.csv')
    monkeypatch.setattr(__name__ + '.BOXES', {k: BOXES[k] for k in ('hug', 'kick')})
    more = [*ONE_BOX, boxes, '--without', 'push']
    by_label, frames = assemble_crops(crops, tmp_path, monkeypatch, *more)
    assert set(by_label) == {'hug', 'kick'} and len(frames) == 80
    assert '2 of 3 clips of background' in capsys.readouterr().out


def test_grid_of_controls_fits_its_config(repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    path = repo_root / 'projects/timelines/controls_ut-interaction.yml'
    grid = yaml.safe_load(path.read_text())
    cfg = Config.fromfile(grid['config'])
    shown = []
    for options in grid['variants'].values():
        changed = copy.deepcopy(cfg)
        changed.merge_from_dict(options)
        loaders = [changed[f'{use}_dataloader'] for use in ('train', 'val', 'test')]
        shown.append([loader.dataset.data_prefix.video for loader in loaders])
    folders = 'rgb_npy', 'frame/rgb_npy', 'bars/rgb_npy'
    assert shown == [[folder] * 3 for folder in folders]
