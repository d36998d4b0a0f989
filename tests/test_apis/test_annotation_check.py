"""The checker of annotation files."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtal_mts.apis.annotation_check import WindowSettings, check_annotations
from mmtal_mts.apis.annotation_report import describe_check
from mmtal_mts.datasets.converters import convert_annotations
from mmtal_mts.datasets.sources import claim_folder
from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.structures.annotations import load_annotations, read_native
from mmtal_mts.utils import UserError

# Windows of 32 frames at 10 fps; locations every 4, 8 and 16 frames.
WINDOWS = WindowSettings(clip_len=32, stride=8, num_levels=3)


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


def test_a_good_file_is_safe():
    report = check(content_of((1, 2, 'run'), (3, 4, 'jump')))
    assert report.findings == []
    assert report.is_safe
    text = describe_check(report)
    assert 'nothing is wrong' in text
    assert 'safe to train on: no errors, 0 warnings' in text


@pytest.mark.parametrize(
    ('action', 'kind', 'safe'),
    [
        ((2.0, 2.0, 'run'), 'not-positive', False),
        ((3.0, 2.0, 'run'), 'not-positive', False),
        ((math.nan, 2.0, 'run'), 'not-positive', False),
        ((1.0, math.inf, 'run'), 'not-positive', False),
        ((-0.5, 2.0, 'run'), 'before-start', False),
        ((9.0, 10.5, 'run'), 'beyond-end', False),
        ((10.0, 10.5, 'run'), 'outside', False),
        ((-2.0, -1.0, 'run'), 'outside', False),
        ((1.0, 2.0, 'fly'), 'unknown-label', False),
        (('soon', 2.0, 'run'), 'malformed', False),
        ((1.0, 2.0, 7), 'malformed', False),
        ((1.0, 1.199, 'run'), 'too-short', True),
    ],
)
def test_faults_of_a_single_annotation(action, kind, safe):
    report = check(content_of((4, 5, 'run'), action))
    assert kinds(report)[kind] == 1
    assert report.is_safe is safe
    finding = report.of(kind)[0]
    assert (finding.video_id, finding.index) == ('a', 1)


def test_limits_are_inclusive():
    # Two frames, the very end, and rounding of a float are no faults.
    actions = [(0.7, 0.9, 'run'), (9.0, 10.0, 'run'), (8.0, 10.0 + 1e-9, 'jump')]
    assert kinds(check(content_of(*actions))) == {}


def test_faults_of_a_video():
    content = content_of((1, 2, 'run'))
    content['database'].update(
        b={'annotations': []},
        c={'duration': -1, 'annotations': []},
        d={'duration': 5},
        e=7,
    )
    report = check(content)
    assert kinds(report) == {'malformed': 3, 'no-duration': 1}
    assert {f.video_id for f in report.of('malformed')} == {'c', 'd', 'e'}
    assert report.of('no-duration')[0].video_id == 'b'


def test_repetitions():
    report = check(content_of((1, 2, 'run'), (1, 2, 'run'), (1, 2, 'jump')))
    assert [f.index for f in report.of('duplicate')] == [1]
    (double,) = report.of('double-label')
    assert (double.index, double.group) == (2, 'jump + run')
    # All locations go to the first of equal segments: the others are not trained on.
    assert [f.index for f in report.of('shadowed')] == [1, 2]


def test_keys_that_repeat_are_errors(tmp_path):
    path = tmp_path / 'a.json'
    entry = '"a": {"duration": 9, "annotations": [{"segment": [1, 2], "label": "x"}]}'
    path.write_text('{"database": {' + f'{entry}, {entry}' + '}}')
    content, repeated = read_native(path)
    report = check(content, duplicate_keys=repeated)
    assert report.counts() == {'duplicate-key': 1}
    path.write_text('[]')
    with pytest.raises(UserError, match=r'convert_annotations\.py'):
        read_native(path)


def test_classes_and_subsets():
    content = content_of((1, 2, 'run'))
    content['database']['b'] = dict(content['database']['a'], subset='test')
    content['database']['c'] = {'subset': 'test', 'duration': 5, 'annotations': []}
    report = check(content)
    assert [f.message for f in report.of('class-missing')] == [
        'jump in training',
        'jump in test',
    ]
    per_class = check(content, subsets=['test']).per_class
    assert per_class.to_dict() == {'test': {'jump': 0, 'run': 1}}
    assert kinds(check(content, classes=['jump'])) == {'unknown-label': 2}
    message = r"no video in subset \['x'\]; the file has \['test', 'training'\]"
    with pytest.raises(UserError, match=message):
        check(content, subsets=['x'])
    with pytest.raises(UserError, match='more than once'):
        check({**content, 'classes': ['run', 'run']})
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
    assert [f.group for f in report.of('double-label')] == [
        'CliffDiving + Diving'
    ]


def test_frames_counted_from_one_do_not_contradict():
    content = content_of((0.0, 2.0, 'run'), fps=25.0)
    content['database']['a']['annotations'][0]['segment(frames)'] = [1, 50]
    assert kinds(check(content)) == {}
    content['database']['a']['annotations'][0]['segment(frames)'] = ['x', 50]
    assert kinds(check(content)) == {'malformed': 1}


def test_actions_that_no_window_holds():
    report = check(content_of((1, 2, 'run'), (3, 6.3, 'jump')))
    # 33 frames in windows of 32.
    (finding,) = report.of('uncovered')
    assert finding.index == 1
    assert report.actions.windows.tolist()[1] == 0
    alone = check(content_of((3, 6.3, 'jump')))
    assert kinds(alone) == {'uncovered': 1, 'no-window': 1}
    assert 'no level can represent 100.00% of the actions' in describe_check(alone)


def test_windows_counted_as_afsd_does():
    # It starts with the video, where AFSD's windows begin one frame late.
    content = content_of((0.0, 1.0, 'run'), duration=3.2)
    assert kinds(check(content)) == {}
    windows = WindowSettings(clip_len=32, num_levels=3, one_based_window=True)
    assert kinds(check(content, windows=windows)) == {'uncovered': 1, 'no-window': 1}


def test_actions_between_the_locations():
    # Locations are at 2, 6, 10, ... and 4, 12, ... and 8, 24 frames.
    report = check(content_of((0.21, 0.39, 'run'), (0.5, 0.7, 'jump'), duration=3.2))
    assert report.of('no-location')[0].index == 0
    levels = report.actions[['s4', 's8', 's16']]
    assert levels.to_numpy().tolist() == [[0, 0, 0], [1, 0, 0]]
    assert report.actions.assigned.tolist() == [0, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 95), st.integers(1, 40), st.sampled_from(['run'])),
        max_size=5,
    )
)
@settings(max_examples=50, deadline=None)
def test_locations_against_counting_one_by_one(frames):
    actions = [(s / 10, min(s + n, 96) / 10, label) for s, n, label in frames]
    # One window for the whole video, so that the reference needs no windows.
    windows = WindowSettings(clip_len=96, num_levels=3)
    report = check(content_of(*actions, duration=9.6), windows=windows)
    owners = [0] * len(actions)
    for stride in (4, 8, 16):
        centres = [(i + 0.5) * stride for i in range(96 // stride)]
        for row, (start, end, _) in enumerate(actions):
            inside = sum(start * 10 <= c <= end * 10 for c in centres)
            assert report.actions[f's{stride}'][row] == inside
        for centre in centres:
            holding = [
                (end - start, row)
                for row, (start, end, _) in enumerate(actions)
                if start * 10 <= centre <= end * 10
            ]
            if holding:
                owners[min(holding)[1]] += 1
    assert report.actions.assigned.sum() == sum(owners)
    assert report.per_length.actions.sum() == len(actions)


def test_one_window_per_video_whatever_its_length():
    windows = WindowSettings(clip_len=64, frames_per_video=64, num_levels=3)
    report = check(content_of((10, 90, 'run'), duration=100.0), windows=windows)
    assert kinds(report) == {}
    assert report.actions.length_f.tolist() == pytest.approx([51.2])
    assert report.videos.windows.tolist() == [1]
    # Two sampled frames of this video are more than three seconds.
    short = check(content_of((10, 13, 'run'), duration=100.0), windows=windows)
    assert short.of('too-short')[0].message.endswith('1.92 sampled frames')


def test_length_bins():
    report = check(content_of((1, 1.2, 'run'), (2, 5.2, 'jump'), (1, 9.9, 'run')))
    bins = report.per_length
    # Two frames; as long as the window; longer.
    rows = bins[['from_f', 'to_f', 'actions']].to_numpy().tolist()
    assert rows == [[0, 2, 1], [16, 32, 1], [64, 128, 1]]
    assert bins.share.sum() == pytest.approx(1)


# Video files


@pytest.fixture
def video(repo_root, tmp_path):
    """A folder with one video, its frames and its rate."""
    source = repo_root / 'tests' / 'data' / 'index_brightness.mp4'
    (tmp_path / 'videos').mkdir()
    path = tmp_path / 'videos' / 'a.mp4'
    shutil.copy(source, path)
    times = VideoReader(path)
    return path, times.num_frames, times.fps


def test_video_files_that_agree(video):
    path, num_frames, fps = video
    content = content_of((0, 0.5, 'run'), duration=num_frames / fps, fps=fps)
    report = check(content, video_dirs=[str(path.parent)])
    assert kinds(report) == {}


def test_video_files_that_do_not_agree(video):
    path, num_frames, fps = video
    (path.parent / 'b.mp4').write_bytes(b'no video')
    shutil.copy(path, path.parent / 'more.mp4')
    content = content_of((0, 0.5, 'run'), duration=num_frames / fps + 60, fps=fps * 1.2)
    for name in ('b', 'c'):
        content['database'][name] = {'duration': 1.0, 'annotations': []}
    report = check(content, video_dirs=[str(path.parent)])
    assert kinds(report) == {
        'missing-video': 1,
        'unreadable-video': 1,
        'duration-mismatch': 1,
        'fps-mismatch': 1,
        'extra-video': 1,
    }
    assert report.of('missing-video')[0].message.endswith('c.mp4')
    assert report.of('extra-video')[0].message.endswith('more.mp4')
    with pytest.raises(UserError, match='no such folder'):
        check(content, video_dirs=[str(path.parent / 'none')])


# Frames extracted from them


def extract(out, num_frames, layout='npy', fixed=False):
    """Writes what extract_clips.py makes of a video of 1.3 s."""
    for name, modality, images in (
        ('rgb', 'RGB', ['img']),
        ('flow', 'Flow', ['flow_x', 'flow_y']),
    ):
        folder = out / f'{name}_{layout}'
        rate = dict(
            fps=None if fixed else 10.0, num_frames=num_frames if fixed else None
        )
        claim_folder(folder, dict(layout=layout, modality=modality, **rate))
        if layout == 'npy':
            shape = (num_frames, 16, 16, 3 if name == 'rgb' else 2)
            np.save(folder / 'a.npy', np.zeros(shape, np.uint8))
            continue
        (folder / 'a').mkdir()
        for image in images:
            for number in range(1, num_frames + 1):
                (folder / 'a' / f'{image}_{number:05}.jpg').touch()


@pytest.mark.parametrize('layout', ['npy', 'frames'])
def test_extracted_frames_that_agree(layout, tmp_path):
    extract(tmp_path, 13, layout)
    folders = [str(tmp_path / f'{name}_{layout}') for name in ('rgb', 'flow')]
    content = content_of((0, 0.5, 'run'), duration=1.3, fps=30)
    assert kinds(check(content, video_dirs=folders)) == {}


@pytest.mark.parametrize('layout', ['npy', 'frames'])
def test_extracted_frames_that_do_not_agree(layout, tmp_path):
    extract(tmp_path, 13, layout)
    folder = tmp_path / f'rgb_{layout}'
    suffix = '.npy' if layout == 'npy' else ''
    copy = shutil.copy if layout == 'npy' else shutil.copytree
    for name in ('torn', 'more'):
        copy(folder / f'a{suffix}', folder / f'{name}{suffix}')
    if layout == 'npy':
        (folder / 'torn.npy').write_bytes(b'no array')
    else:
        (folder / 'torn' / 'img_00004.jpg').unlink()
    content = content_of((0, 0.5, 'run'), duration=61.3)
    for name in ('torn', 'none'):
        content['database'][name] = {'duration': 1.0, 'annotations': []}
    report = check(content, video_dirs=[str(folder)])
    assert kinds(report) == {
        'missing-video': 1,
        'unreadable-video': 1,
        'duration-mismatch': 1,
        'extra-video': 1,
    }
    (found,) = report.of('duration-mismatch')
    assert '13 frames at 10 fps = 1.30 s' in found.message


def test_a_fixed_number_of_frames_and_streams_that_differ(tmp_path):
    extract(tmp_path, 24, fixed=True)
    rgb, flow = tmp_path / 'rgb_npy', tmp_path / 'flow_npy'
    content = content_of((0, 0.5, 'run'), duration=1.3)
    windows = WindowSettings(clip_len=24, frames_per_video=24)
    assert kinds(check(content, windows=windows, video_dirs=[str(rgb)])) == {}
    np.save(rgb / 'a.npy', np.zeros((20, 16, 16, 3), np.uint8))
    # Without a record, nobody says how many there must be.
    (flow / 'extraction.json').unlink()
    np.save(flow / 'a.npy', np.zeros((24, 16, 16, 2), np.uint8))
    report = check(content, windows=windows, video_dirs=[str(rgb), str(flow)])
    assert kinds(report) == {'frame-count': 1, 'stream-mismatch': 1}
    (found,) = report.of('stream-mismatch')
    assert 'rgb_npy/a.npy has 20 frames' in found.message
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='holds no video files'):
        check(content, video_dirs=[str(tmp_path / 'empty')])


def test_arrays_without_a_record_are_at_the_rate_of_training(tmp_path):
    np.save(tmp_path / 'a.npy', np.zeros((300, 8, 8, 2), np.uint8))
    content = content_of((0, 2, 'run'), duration=30.0)
    assert kinds(check(content, video_dirs=[str(tmp_path)])) == {}
    windows = WindowSettings(sample_fps=25.0, clip_len=256)
    report = check(content, windows=windows, video_dirs=[str(tmp_path)])
    assert kinds(report) == {'duration-mismatch': 1}


# Correction


@pytest.fixture(scope='module')
def repair(load_tool):
    return load_tool('dataset_converters/check_annotations.py').repair_annotations


FAULTY = (
    (-0.5, 2.0, 'run'),
    (9.0, 10.5, 'run'),
    (10.0, 11.0, 'run'),
    (3.0, 3.0, 'run'),
    (4.0, 5.0, 'run'),
    (4.0, 5.0, 'run'),
    (6.0, 7.0, 'fly'),
)


def segments_of(content):
    items = content['database']['a']['annotations']
    return [(*item['segment'], item['label']) for item in items]


def test_clamping_cuts_what_can_be_cut(repair):
    content = content_of(*FAULTY)
    before = json.dumps(content)
    fixed, changes = repair(content, check(content).findings, 'clamp')
    assert segments_of(fixed) == [
        (0.0, 2.0, 'run'),
        (9.0, 10.0, 'run'),
        (4.0, 5.0, 'run'),
        (6.0, 7.0, 'fly'),
    ]
    assert len(changes) == 5
    assert json.dumps(content) == before
    # A label is not a matter of cutting.
    assert kinds(check(fixed)) == {'unknown-label': 1}


def test_segments_that_become_alike_by_cutting_stay_once(repair):
    content = content_of((9.0, 10.5, 'run'), ('9', '11', 'run'), (9, 10.5, 'jump'))
    fixed, changes = repair(content, check(content).findings, 'clamp')
    assert segments_of(fixed) == [(9.0, 10.0, 'run'), (9.0, 10.0, 'jump')]
    assert [change.split(':')[0] for change in changes] == [
        'cut (beyond-end)',
        'cut (beyond-end)',
        'removed (duplicate once it is cut)',
        'cut (beyond-end)',
    ]


def test_dropping_leaves_only_what_is_right(repair):
    content = content_of(*FAULTY)
    fixed, changes = repair(content, check(content).findings, 'drop')
    assert segments_of(fixed) == [(4.0, 5.0, 'run')]
    assert len(changes) == 6
    assert check(fixed).is_safe


number = st.floats(-5, 15) | st.integers(-5, 15) | st.just(math.nan)
action = st.tuples(number, number, st.sampled_from(['run', 'jump', 'fly']))


@given(st.lists(action, max_size=6), st.sampled_from(['clamp', 'drop']))
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_corrected_file_loads_and_a_safe_file_too(tmp_path, repair, actions, mode):
    content = content_of((1, 2, 'run'), *actions)
    path = str(tmp_path / 'a.json')

    def loads(data):
        with open(path, 'w') as file:
            json.dump(data, file)
        try:
            load_annotations(path, on_invalid='error')
        except ValueError:
            return False
        return True

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
    kept = iter(segments_of(fixed))
    for segment in segments_of(content):
        start, end, label = segment
        if 0 <= start < end <= 10 and label != 'fly':
            if segments_of(content).count(segment) == 1 and mode == 'drop':
                assert segment in kept
    assert (changes == []) == (fixed == content)


def test_the_report_for_programs_is_json():
    report = check(content_of(*FAULTY))
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data['safe'] is False
    assert data['errors'] == 5
    assert data['annotations'] == 7
    assert data['usable_actions'] == 4
    assert data['counts']['beyond-end'] == 1
    assert data['classes'] == {'jump': {'training': 0}, 'run': {'training': 4}}
    assert len(data['findings']) == data['errors'] + data['warnings']


def test_many_classes_are_shortened_in_the_text():
    classes = [f'class {i:02d}' for i in range(40)]
    content = content_of(*[(1 + i / 8, 2 + i / 8, classes[i]) for i in range(40)])
    text = describe_check(check(content, classes=classes))
    assert '... 16 classes in between (--json)' in text


def test_an_annotation_without_any_action():
    report = check(content_of())
    assert report.actions[['s4', 's8', 's16']].shape == (0, 3)
    assert report.per_length.empty
    assert 'training: 0 actions in 1 videos, 1 of them without any' in describe_check(
        report
    )
