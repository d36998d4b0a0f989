"""The checker of annotation files."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.apis.annotation_check import WindowSettings, check_annotations
from mmtal_mts.datasets.converters import convert_annotations
from mmtal_mts.datasets.sources import claim_folder
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError

# Windows of 32 frames at 10 fps; locations every 4, 8 and 16 frames.
WINDOWS = WindowSettings(clip_len=32, stride=8, num_levels=3)
EMPTY = {'duration': 1.0, 'annotations': []}


def content_of(*actions, duration=10.0, **facts):
    """An annotation file with one video; actions are (start, end, label)."""
    items = [{'segment': [start, end], 'label': label} for start, end, label in actions]
    entry = {'subset': 'training', 'duration': duration, 'annotations': items, **facts}
    return {'classes': ['jump', 'run'], 'database': {'a': entry}}


def check(content, windows=WINDOWS, **kwargs):
    return check_annotations(content, windows, **kwargs)


def kinds(report):
    """What was found, but not that the other class does not occur."""
    return {k: n for k, n in report.counts().items() if k != 'class-missing'}


def test_reports_as_text_and_for_programs():
    report = check(content_of((1, 2, 'run'), (3, 4, 'jump')))
    assert report.findings == [] and report.is_safe
    assert 'nothing is wrong' in report.describe()
    assert 'safe to train on: no errors, 0 warnings' in report.describe()
    classes = [f'class {i:02d}' for i in range(40)]
    text = check(content_of((1, 2, classes[30])), classes=classes).describe()
    assert '... 16 classes in between (--json)' in text
    report = check(content_of())
    assert report.actions[['s4', 's8', 's16']].shape == (0, 3)
    assert report.per_length.empty
    assert 'training: 0 actions in 1 videos, 1 of them without any' in report.describe()
    data = check(content_of(*FAULTY)).to_json()
    findings = json.loads(json.dumps(data, allow_nan=False)).pop('findings')
    assert len(findings) == data['errors'] + data['warnings']
    assert (data['safe'], data['errors'], data['counts']['beyond-end']) == (False, 5, 1)
    assert (data['annotations'], data['usable_actions']) == (7, 4)
    assert data['classes'] == {'jump': {'training': 0}, 'run': {'training': 4}}


LACKING = {'uncovered': 1, 'no-window': 1}
AFSD = WindowSettings(clip_len=32, num_levels=3, one_based_window=True)


@pytest.mark.parametrize(
    ('actions', 'duration', 'windows', 'expected'),
    [
        # Two frames, the very end, and rounding of a float are no faults.
        ([(0.7, 0.9), (9, 10), (8, 10 + 1e-9)], 10, WINDOWS, {}),
        ([(4, 5), (1, 1.199)], 10, WINDOWS, {'too-short': 1}),
        # 33 frames in windows of 32.
        ([(1, 2), (3, 6.3)], 10, WINDOWS, {'uncovered': 1}),
        ([(3, 6.3)], 10, WINDOWS, LACKING),
        # It starts with the video, where AFSD's windows begin one frame late.
        ([(0, 1)], 3.2, WINDOWS, {}),
        ([(0, 1)], 3.2, AFSD, LACKING),
        # More levels than the window has halves.
        ([(0, 1)], 3.2, WindowSettings(clip_len=24), {}),
    ],
)
def test_limits_of_videos_and_windows(actions, duration, windows, expected):
    content = content_of(*[(*times, 'run') for times in actions], duration=duration)
    report = check(content, windows)
    assert kinds(report) == expected and report.is_safe
    unseen = [len(actions) - 1] if 'uncovered' in expected else []
    assert [f.index for f in report.of('uncovered')] == unseen
    share = f'{len(unseen) / len(actions):.2%}'
    assert f'no level can represent {share} of the actions' in report.describe()


def test_repetitions():
    report = check(content_of((1, 2, 'run'), (1, 2, 'run'), (1, 2, 'jump')))
    assert [f.index for f in report.of('duplicate')] == [1]
    (double,) = report.of('double-label')
    assert (double.index, double.group) == (2, 'jump + run')
    # All locations go to the first of equal segments: the others are not trained on.
    assert [f.index for f in report.of('shadowed')] == [1, 2]
    report = check(content_of((1, 2, 'run')), duplicate_keys=['a'])
    assert kinds(report) == {'duplicate-key': 1} and not report.is_safe


def test_classes_and_subsets():
    content = content_of((1, 2, 'run'))
    content['database']['b'] = dict(content['database']['a'], subset='test')
    content['database']['c'] = dict(EMPTY, subset='test')
    missing = [f.message for f in check(content).of('class-missing')]
    assert missing == ['jump in training', 'jump in test']
    per_class = check(content, subsets=['test']).per_class
    assert per_class.to_dict() == {'test': {'jump': 0, 'run': 1}}
    assert kinds(check(content, classes=['jump'])) == {'unknown-label': 2}
    # A subset that is not annotated misses no class.
    content['database'] = {'c': content['database']['c']}
    assert check(content).findings == []


def test_frame_columns_that_contradict_the_seconds(repo_root):
    path = repo_root / 'tests/data/annotations/afsd/val_Annotation_ours.csv'
    report = check_annotations(convert_annotations([path]).content)
    (finding,) = report.of('fps-contradiction')
    assert finding.video_id == 'video_validation_0000666'
    # 6708 / 25 fps is 268.32 s, the row says 223.6 s.
    assert '2 of 2 actions up to 1118 frames = 44.72 s late' in finding.message
    assert '"fps" is 25, the frame columns were made with 30.00' in finding.message
    assert [f.message for f in report.of('outside')] == [
        'video_validation_0000364: annotations[1] [120.5, 127.0] HighJump: '
        'lies outside the video (duration 112.533 s)'
    ]
    assert [f.group for f in report.of('double-label')] == ['CliffDiving + Diving']
    # Frames that are counted from one do not contradict the seconds.
    for frames, expected in ([1, 50], {}), (['x', 50], {'malformed': 1}):
        content = content_of((0.0, 2.0, 'run'), fps=25.0)
        content['database']['a']['annotations'][0]['segment(frames)'] = frames
        assert kinds(check(content)) == expected


def test_actions_between_the_locations():
    # Locations are at 2, 6, 10, ... and 4, 12, ... and 8, 24 frames.
    report = check(content_of((0.21, 0.39, 'run'), (0.5, 0.7, 'jump'), duration=3.2))
    assert report.of('no-location')[0].index == 0
    levels = report.actions[['s4', 's8', 's16']]
    assert levels.to_numpy().tolist() == [[0, 0, 0], [1, 0, 0]]
    assert report.actions.assigned.tolist() == [0, 1]
    # Two frames are not too short because the video ends between sampled frames.
    report = check(content_of((6.55, 6.75, 'run'), duration=6.75))
    assert kinds(report) == {'no-location': 1}
    report = check(content_of((1, 1.1, 'run'), duration=None))
    assert kinds(report) == {'no-duration': 1, 'too-short': 1}
    assert report.of('no-duration')[0].video_id == 'a'
    report = check(content_of(duration=-1))
    assert kinds(report) == {'malformed': 1} and not report.is_safe


@given(st.lists(st.tuples(st.integers(0, 95), st.integers(1, 40)), max_size=5))
@settings(max_examples=50, deadline=None)
def test_locations_against_counting_one_by_one(frames):
    actions = [(s / 10, min(s + n, 96) / 10, 'run') for s, n in frames]
    # One window for the whole video, so that the reference needs no windows.
    windows = WindowSettings(clip_len=96, num_levels=3)
    report = check(content_of(*actions, duration=9.6), windows)
    num_owned = 0
    for stride in (4, 8, 16):
        centres = [(i + 0.5) * stride for i in range(96 // stride)]
        inside = [[s * 10 <= c <= e * 10 for c in centres] for s, e, _ in actions]
        assert report.actions[f's{stride}'].tolist() == [sum(row) for row in inside]
        num_owned += sum(map(any, zip(*inside, strict=True)))
    assert report.actions.assigned.sum() == num_owned
    assert report.per_length.actions.sum() == len(actions)


def test_one_window_per_video_whatever_its_length():
    windows = WindowSettings(clip_len=64, frames_per_video=64, num_levels=3)
    report = check(content_of((10, 90, 'run'), duration=100.0), windows)
    assert kinds(report) == {}
    assert report.actions.length_f.tolist() == pytest.approx([51.2])
    assert report.videos.windows.tolist() == [1]
    # Two sampled frames of this video are more than three seconds.
    short = check(content_of((10, 13, 'run'), duration=100.0), windows)
    assert short.of('too-short')[0].message.endswith('1.92 sampled frames')


def test_length_bins():
    report = check(content_of((1, 1.2, 'run'), (2, 5.2, 'jump'), (1, 9.9, 'run')))
    bins = report.per_length
    # Two frames; as long as the window; longer.
    rows = bins[['from_f', 'to_f', 'actions']].to_numpy().tolist()
    assert rows == [[0, 2, 1], [16, 32, 1], [64, 128, 1]]
    assert bins.share.sum() == pytest.approx(1)


def extract(out, num_frames, layout='npy', fixed=False):
    """Writes what extract_clips.py makes of a video of 1.3 s; two folders."""
    rate = dict(fps=None if fixed else 10.0, num_frames=num_frames if fixed else None)
    for modality, names in (('RGB', ['img']), ('Flow', ['flow_x', 'flow_y'])):
        folder = out / modality
        claim_folder(folder, dict(layout=layout, modality=modality, **rate))
        if layout == 'npy':
            shape = (num_frames, 16, 16, 3 if modality == 'RGB' else 2)
            np.save(folder / 'a.npy', np.zeros(shape, np.uint8))
            continue
        (folder / 'a').mkdir()
        for name, number in product(names, range(1, num_frames + 1)):
            (folder / 'a' / f'{name}_{number:05}.jpg').touch()
    return [str(out / 'RGB'), str(out / 'Flow')]


@pytest.mark.parametrize('layout', ['video', 'npy', 'frames'])
def test_sources_that_agree_and_that_do_not(layout, tmp_path, make_video):
    sources, fps = [str(tmp_path)], 10
    if layout == 'video':
        make_video(tmp_path / 'a.mp4', 13, 10)
    else:
        sources, fps = extract(tmp_path, 13, layout), 30
    content = content_of((0, 0.5, 'run'), duration=1.3, fps=fps)
    assert kinds(check(content, video_dirs=sources)) == {}

    folder, suffix = Path(sources[0]), dict(video='.mp4', npy='.npy').get(layout, '')
    for name in ('torn', 'more'):
        if suffix:
            (folder / f'{name}{suffix}').write_bytes(b'no array and no video')
            continue
        (folder / name).mkdir()
        for number in (1, 3):
            (folder / name / f'img_{number:05}.jpg').touch()
    content = content_of((0, 0.5, 'run'), duration=61.3, fps=12)
    content['database'].update(torn=EMPTY, none=EMPTY)
    report = check(content, video_dirs=sources[:1])
    assert kinds(report) == {
        'missing-video': 1,
        'unreadable-video': 1,
        'duration-mismatch': 1,
        **({'fps-mismatch': 1} if layout == 'video' else {}),
        'extra-video': 1,
    }
    assert report.of('missing-video')[0].message.endswith(f'none{suffix}')
    assert report.of('extra-video')[0].message.endswith(f'more{suffix}')
    assert '13 frames at 10 fps = 1.30 s' in report.of('duration-mismatch')[0].message


def test_a_fixed_number_of_frames_and_streams_that_differ(tmp_path):
    rgb, flow = map(Path, extract(tmp_path, 24, fixed=True))
    content = content_of((0, 0.5, 'run'), duration=1.3)
    windows = WindowSettings(clip_len=24, frames_per_video=24)
    assert kinds(check(content, windows, video_dirs=[str(rgb)])) == {}
    np.save(rgb / 'a.npy', np.zeros((20, 16, 16, 3), np.uint8))
    # Without a record, nobody says how many there must be.
    (flow / 'extraction.json').unlink()
    report = check(content, windows, video_dirs=[str(rgb), str(flow)])
    assert kinds(report) == {'frame-count': 1, 'stream-mismatch': 1}
    assert 'RGB/a.npy has 20 frames' in report.of('stream-mismatch')[0].message


def test_arrays_without_a_record_are_at_the_rate_of_training(tmp_path):
    folders, content = [str(tmp_path)], content_of((0, 2, 'run'), duration=30.0)
    for name, message in (('none', 'no such folder'), ('', 'holds no video files')):
        with pytest.raises(UserError, match=message):
            check(content, video_dirs=[str(tmp_path / name)])
    np.save(tmp_path / 'a.npy', np.zeros((300, 8, 8, 2), np.uint8))
    assert kinds(check(content, video_dirs=folders)) == {}
    windows = WindowSettings(sample_fps=25.0, clip_len=256)
    report = check(content, windows, video_dirs=folders)
    assert kinds(report) == {'duration-mismatch': 1}


@pytest.fixture(scope='module')
def repair(load_tool):
    return load_tool('dataset_converters/check_annotations.py')._repair


FAULTY = [(-0.5, 2, 'run'), (9, 10.5, 'run'), (10, 11, 'run'), (3, 3, 'run')]
FAULTY += [(4, 5, 'run'), (4, 5, 'run'), (6, 7, 'fly')]
REMOVED = ['removed (outside)', 'removed (not-positive)', 'removed (duplicate)']
CUT = 'cut (beyond-end)'


def segments_of(content):
    items = content['database']['a']['annotations']
    return [(*item['segment'], item['label']) for item in items]


def test_what_is_cut_and_removed(repair):
    def correct(actions, mode):
        content = content_of(*actions)
        before = json.dumps(content)
        fixed, lines = repair(content, check(content).findings, mode)
        assert json.dumps(content) == before
        return segments_of(fixed), [line.split(':')[0] for line in lines]

    # A label is not a matter of cutting.
    left, changes = correct(FAULTY, 'clamp')
    assert left == [(0, 2, 'run'), (9, 10, 'run'), (4, 5, 'run'), (6, 7, 'fly')]
    assert changes == [*REMOVED, 'cut (before-start)', CUT]
    # What becomes alike by cutting stays once.
    alike = (9.0, 10.5, 'run'), ('9', '11', 'run'), (-1e-9, 10.5, 'jump')
    left, changes = correct(alike, 'clamp')
    assert left == [(9, 10, 'run'), (0, 10, 'jump')]
    assert changes == [CUT, CUT, 'removed (duplicate once it is cut)', CUT]
    left, changes = correct(FAULTY, 'drop')
    assert left == [(4, 5, 'run')]
    removed = ['removed (before-start)', 'removed (beyond-end)', *REMOVED[:2]]
    assert changes == [*removed, 'removed (unknown-label)', REMOVED[2]]


number = st.floats(-5, 15) | st.integers(-5, 15) | st.just(math.nan)
action = st.tuples(number, number, st.sampled_from(['run', 'jump', 'fly']))


@given(st.lists(action, max_size=6), st.sampled_from(['clamp', 'drop']))
@settings(max_examples=80, deadline=None)
def test_a_safe_or_corrected_file_loads(tmp_path_factory, repair, actions, mode):
    content = content_of((1, 2, 'run'), *actions)
    path = tmp_path_factory.getbasetemp() / 'corrected.json'

    def loads(data):
        path.write_text(json.dumps(data))
        try:
            return bool(load_annotations(str(path), on_invalid='error'))
        except ValueError:
            return False

    report = check(content)
    # The checker and the loader agree on what is an error.
    assert report.is_safe == loads(content)
    fixed, changes = repair(content, report.findings, mode)
    again = check(fixed)
    assert again.is_safe == loads(fixed)
    assert again.is_safe or (mode == 'clamp' and 'unknown-label' in kinds(again))
    # Correcting what is corrected changes nothing.
    assert repair(fixed, again.findings, mode) == (fixed, [])
    # What was right stays as it was, in the same order.
    kept, before = iter(segments_of(fixed)), segments_of(content)
    for segment in before:
        start, end, label = segment
        right = 0 <= start < end <= 10 and label != 'fly'
        if right and before.count(segment) == 1 and mode == 'drop':
            assert segment in kept
    assert (changes == []) == (fixed == content)
