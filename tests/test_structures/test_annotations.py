from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mmtal_mts.structures.annotations import (
    ON_INVALID,
    AnnotationError,
    load_annotations,
    parse_entry,
)


def entry(*annotations, subset='training', duration=10.0, **more):
    items = [dict(segment=list(seg), label=label) for seg, label in annotations]
    return dict(subset=subset, duration=duration, annotations=items, **more)


GOOD = [1, 2], 'x'


@pytest.fixture
def load(tmp_path):
    """Writes an annotation file and loads it."""

    def write_and_load(database, *args, top=None, **options):
        path = tmp_path / 'anno.json'
        path.write_text(json.dumps(dict(top or {}, database=database)))
        return load_annotations(str(path), *args, **options)

    return write_and_load


def test_reads_segments_labels_and_optional_fields(load):
    # The rounding of floats is no overshoot.
    actions = ([1, 2.5], 'run'), (['3.0', ' 4'], 'jump'), ([1, 10.0000000001], 'run')
    first = entry(*actions, fps=29.97, file='x.avi')
    result = load(dict(a=first, b=entry(subset='validation')))
    assert result.classes == ('jump', 'run')
    assert list(result.videos) == ['a', 'b']
    video = result.videos['a']
    facts = video.subset, video.duration, video.fps, video.file
    assert facts == ('training', 10.0, 29.97, 'x.avi')
    assert video.actions.segments.tolist() == [[1, 2.5], [3, 4], [1, 10]]
    assert video.actions.labels.tolist() == [1, 0, 1]
    assert result.videos['b'].actions.segments.shape == (0, 2)


def test_classes_come_from_argument_file_or_all_subsets(load):
    database = dict(a=entry(([1, 2], 'z')), b=entry(([1, 2], 'y'), subset='test'))
    assert load(database, subsets='training').classes == ('y', 'z')
    assert load(database, classes=['z', 'y']).classes == ('z', 'y')
    result = load(database, top=dict(classes=['z', 'x', 'y']))
    assert result.classes == ('z', 'x', 'y')
    assert result.videos['a'].actions.labels.tolist() == [0]
    with pytest.raises(AnnotationError, match='no label'):
        load(dict(vid=entry()))
    assert load(dict(vid=entry()), classes=['x']).classes == ('x',)


def test_subsets_select_and_unknown_ones_list_what_there_is(load):
    database = dict(a=entry(GOOD), b=entry(GOOD, subset='test'))
    assert list(load(database, subsets='test').videos) == ['b']
    assert len(load(database, subsets=['test', 'training']).videos) == 2
    message = r"no video in subset \['val'\]; the file has \['test', 'training'\]"
    with pytest.raises(AnnotationError, match=message):
        load(database, subsets='val')
    # Neither subset nor duration is needed.
    database = dict(a=dict(annotations=[dict(segment=[1, 999], label='x')]))
    video = load(database).videos['a']
    assert video.subset == '' and video.duration is None
    with pytest.raises(AnnotationError, match='none'):
        load(database, subsets='training')


CUT = 'error', 'clamped', 'dropped', 'kept'
OUT = 'error', 'dropped', 'dropped', 'kept'
WRONG = 'error', 'dropped', 'dropped', 'error'
UNKNOWN = 'error', 'error', 'dropped', 'error'


@pytest.mark.parametrize(
    ('segment', 'label', 'kind', 'outcomes'),
    [
        ([9, 10.05], 'x', 'beyond-end', CUT),
        ([-1, 2], 'x', 'before-start', CUT),
        ([11, 12], 'x', 'outside', OUT),
        ([10, 10.5], 'x', 'outside', OUT),
        ([-2, -1], 'x', 'outside', OUT),
        # Nothing is left of what only rounding puts inside.
        ([-1e-311, 0.0], 'x', 'outside', OUT),
        ([-1e-9, 0], 'x', 'outside', OUT),
        ([10.0, 10.0000001], 'x', 'outside', OUT),
        ([3, 3], 'x', 'not-positive', OUT),
        ([4, 3], 'x', 'not-positive', WRONG),
        ([math.nan, 3], 'x', 'not-positive', WRONG),
        ([1, math.inf], 'x', 'not-positive', WRONG),
        ([1, 2], 'y', 'unknown-label', UNKNOWN),
    ],
)
def test_faults_and_their_outcomes(load, segment, label, kind, outcomes):
    faulty = entry(GOOD, (segment, label))
    start, end = segment
    left = dict(clamped=[[max(start, 0), min(end, 10)]], kept=[segment])
    for on_invalid, outcome in zip(ON_INVALID, outcomes, strict=True):
        _, _, (finding,) = parse_entry('v', faulty, {'x': 0}, on_invalid)
        assert (finding.video_id, finding.index) == ('v', 1)
        assert (finding.kind, finding.outcome) == (kind, outcome)
        arguments = dict(v=faulty), ['x'], None, on_invalid
        if outcome == 'error':
            with pytest.raises(AnnotationError, match=r'(?s)v: .*\[1\].*on_invalid'):
                load(*arguments)
        else:
            segments = load(*arguments).videos['v'].actions.segments.tolist()
            assert segments == [[1, 2], *left.get(outcome, [])]


def test_an_entry_is_parsed_with_a_finding_per_fault():
    times = [9, 10.5], [1, 2], [3, 3], [12, 13], [1, 2]
    item = entry(*zip(times, 'xyyxx', strict=True), duration=10)
    video, usable, findings = parse_entry('v', item, {'x': 0})
    assert usable == {n: item['annotations'][n] for n in (0, 4)}
    np.testing.assert_array_equal(video.actions.segments, [[9, 10], [1, 2]])
    assert [(f.index, f.kind, f.outcome, f.weight) for f in findings] == [
        (0, 'beyond-end', 'clamped', 0.5),
        (1, 'unknown-label', 'error', 0),
        (2, 'not-positive', 'dropped', 0),
        (3, 'outside', 'dropped', 3),
    ]
    place = 'v: annotations[0] [9, 10.5] x:'
    text = f'{place} ends 0.500 s after the end of the video (duration 10 s)'
    assert findings[0].message == text
    assert "label 'y' is not among the 1 classes" in findings[1].message
    # Evaluation takes segments as they are, but no label that has no number.
    video, _, findings = parse_entry('v', item, {'x': 7}, 'keep')
    np.testing.assert_array_equal(video.actions.segments, [[9, 10.5], [12, 13], [1, 2]])
    assert video.actions.labels.tolist() == [7, 7, 7]
    assert [f.outcome for f in findings] == ['kept', 'error', 'kept', 'error', 'kept']


def item(value):
    return dict(duration=5, annotations=[value])


@pytest.mark.parametrize(
    ('video', 'message'),
    [
        (item(dict(segment=[1], label='x')), r'\[start, end\]'),
        (item(dict(segment=5, label='x')), r'\[start, end\]'),
        (item(dict(label='x')), r'\[start, end\]'),
        (item('text'), r'\[start, end\]'),
        (item(dict(segment=['a', 2], label='x')), 'not two numbers'),
        (item(dict(segment=[True, 2], label='x')), 'not two numbers'),
        (item(dict(segment=[1, 2], label=3)), '"label"'),
        (item(dict(segment=[1, 2])), '"label"'),
        ('text', 'must be an object'),
        (dict(duration=5), '"annotations" must be a list'),
        (dict(duration=0, annotations=[]), '"duration" must be a positive'),
        (dict(duration='x', annotations=[]), '"duration" must be a positive'),
        (dict(duration=5, fps=-1, annotations=[]), '"fps" must be a positive'),
        (dict(duration=5, file=3, annotations=[]), '"file" must be a name'),
        (dict(duration=5, file='', annotations=[]), '"file" must be a name'),
        (dict(subset=['a'], annotations=[]), '"subset" must be a name'),
    ],
)
@pytest.mark.parametrize('on_invalid', ['error', 'clamp', 'drop'])
def test_what_is_malformed_is_always_an_error(load, video, message, on_invalid):
    _, _, (finding,) = parse_entry('vid', video, {'x': 0}, on_invalid)
    assert (finding.kind, finding.outcome) == ('malformed', 'error')
    with pytest.raises(AnnotationError, match=message):
        load(dict(vid=video), classes=['x'], on_invalid=on_invalid)


def test_all_problems_are_told_together(load):
    with pytest.raises(AnnotationError) as info:
        load({f'v{i}': entry(([3, 2], 'x')) for i in range(25)})
    message = str(info.value)
    assert '25 invalid' in message and 'v9' in message and '... and 15 more' in message
    assert 'v10' not in message


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{not json', 'not valid JSON'),
        (b'', 'not valid JSON'),
        (b'\xff\xfe\x00\x81', 'not valid JSON'),
        (b'[1]', r'"database".*convert_annotations\.py'),
        (b'{"a": 1}', '"database"'),
        (b'{"database": []}', '"database"'),
        (b'{"database": {}}', 'is empty'),
        (b'{"database": {"v": {"annotations": []}, "v": {"annotations": []}}}', "'v'"),
        (b'[' * 100000, 'nested too deeply|not valid JSON'),
    ],
)
def test_unusable_files(tmp_path, content, message):
    path = tmp_path / 'anno.json'
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        load_annotations(str(path), classes=['x'])


def test_a_missing_file_and_an_unknown_option(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.json'):
        load_annotations(str(tmp_path / 'none.json'))
    with pytest.raises(ValueError, match='on_invalid'):
        load_annotations('x.json', on_invalid='ignore')


@pytest.mark.parametrize('classes', [[], 'x', ['a', 'a'], [1], {'a': 1}])
def test_unusable_class_lists(load, classes):
    for options in (dict(classes=classes), dict(top=dict(classes=classes))):
        with pytest.raises(AnnotationError, match='classes'):
            load(dict(vid=entry(GOOD)), **options)
