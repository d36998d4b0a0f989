from __future__ import annotations

import json

import numpy as np
import pytest

from mmtal_mts.structures.annotations import (
    AnnotationError,
    load_annotations,
    parse_entry,
)


def entry(*annotations, subset='training', duration=10.0, **more):
    items = [dict(segment=list(seg), label=label) for seg, label in annotations]
    return dict(subset=subset, duration=duration, annotations=items, **more)


@pytest.fixture
def load(tmp_path):
    """Writes an annotation file and loads it."""

    def write_and_load(database, *args, top=None, **options):
        path = tmp_path / 'anno.json'
        path.write_text(json.dumps(dict(top or {}, database=database)))
        return load_annotations(str(path), *args, **options)

    return write_and_load


def test_reads_segments_labels_and_optional_fields(load):
    actions = ([1, 2.5], 'run'), (['3.0', ' 4'], 'jump')
    first = entry(*actions, fps=29.97, file='x.avi')
    result = load(dict(a=first, b=entry(subset='validation')))
    assert result.classes == ('jump', 'run')
    assert list(result.videos) == ['a', 'b']
    video = result.videos['a']
    facts = video.subset, video.duration, video.fps, video.file
    assert facts == ('training', 10.0, 29.97, 'x.avi')
    np.testing.assert_array_equal(video.actions.segments, [[1, 2.5], [3, 4]])
    np.testing.assert_array_equal(video.actions.labels, [1, 0])
    assert video.actions.segments.dtype == np.float64
    assert video.actions.labels.dtype == np.int64
    assert result.videos['b'].actions.segments.shape == (0, 2)


def test_classes_come_from_argument_file_or_all_subsets(load):
    database = dict(a=entry(([1, 2], 'z')), b=entry(([1, 2], 'y'), subset='test'))
    assert load(database, subsets='training').classes == ('y', 'z')
    assert load(database, classes=['z', 'y']).classes == ('z', 'y')
    result = load(database, top=dict(classes=['z', 'x', 'y']))
    assert result.classes == ('z', 'x', 'y')
    assert result.videos['a'].actions.labels.tolist() == [0]


def test_subsets_select_and_unknown_ones_list_what_there_is(load):
    database = dict(a=entry(([1, 2], 'x')), b=entry(([1, 2], 'x'), subset='test'))
    assert list(load(database, subsets='test').videos) == ['b']
    assert len(load(database, subsets=['test', 'training']).videos) == 2
    with pytest.raises(AnnotationError, match=r"'val'.*'test', 'training'"):
        load(database, subsets='val')


def test_missing_subset_and_duration_are_allowed(load):
    database = dict(a=dict(annotations=[dict(segment=[1, 999], label='x')]))
    video = load(database).videos['a']
    assert video.subset == '' and video.duration is None
    with pytest.raises(AnnotationError, match='none'):
        load(database, subsets='training')


INVALID = dict(
    late=([9, 10.05], 'x'),
    early=([-1, 2], 'x'),
    outside=([11, 12], 'x'),
    zero=([3, 3], 'x'),
    negative=([4, 3], 'x'),
    nan=([float('nan'), 3], 'x'),
)


@pytest.mark.parametrize('name', INVALID)
def test_invalid_segments_are_errors_by_default(load, name):
    value = r'.*0\.050 s after.*duration 10 s' if name == 'late' else ''
    message = rf'(?s)vid: annotations\[1\]{value}.*on_invalid'
    with pytest.raises(AnnotationError, match=message):
        load(dict(vid=entry(([1, 2], 'x'), INVALID[name])))


def test_rounding_of_floats_is_no_overshoot(load):
    video = load(dict(vid=entry(([1, 10.0000000001], 'x')))).videos['vid']
    assert video.actions.segments.tolist() == [[1, 10.0]]


@pytest.mark.parametrize('segment', [[-1e-311, 0.0], [-1e-9, 0], [10.0, 10.0000001]])
def test_nothing_is_left_of_what_only_rounding_puts_inside(load, segment):
    database = dict(a=entry(([1, 2], 'x'), (segment, 'x')))
    with pytest.raises(AnnotationError, match='lies outside the video'):
        load(database)
    for on_invalid in ('clamp', 'drop'):
        kept = load(database, on_invalid=on_invalid).videos['a']
        np.testing.assert_array_equal(kept.actions.segments, [[1, 2]])


def test_clamp_repairs_what_it_can_and_drops_the_rest(load):
    result = load(dict(vid=entry(*INVALID.values())), on_invalid='clamp')
    segments = result.videos['vid'].actions.segments
    np.testing.assert_array_equal(segments, [[9, 10], [0, 2]])
    _, _, findings = parse_entry('vid', entry(*INVALID.values()), {'x': 0}, 'clamp')
    outcomes = [finding.outcome for finding in findings]
    assert outcomes == ['clamped'] * 2 + ['dropped'] * 4


def test_drop_leaves_out_every_invalid_one(load):
    database = dict(vid=entry(([1, 2], 'x'), *INVALID.values(), ([3, 4], 'y')))
    result = load(database, classes=['x'], on_invalid='drop')
    np.testing.assert_array_equal(result.videos['vid'].actions.segments, [[1, 2]])
    _, _, findings = parse_entry('vid', database['vid'], {'x': 0}, 'drop')
    assert [f.outcome for f in findings] == ['dropped'] * (len(INVALID) + 1)


@pytest.mark.parametrize('on_invalid', ['error', 'clamp'])
def test_unknown_label_is_an_error(load, on_invalid):
    with pytest.raises(AnnotationError, match="'y' is not among the 1 classes"):
        load(dict(vid=entry(([1, 2], 'y'))), classes=['x'], on_invalid=on_invalid)


@pytest.mark.parametrize(
    ('item', 'message'),
    [
        (dict(segment=[1], label='x'), r'\[start, end\]'),
        (dict(segment=5, label='x'), r'\[start, end\]'),
        (dict(label='x'), r'\[start, end\]'),
        ('text', r'\[start, end\]'),
        (dict(segment=['a', 2], label='x'), 'not two numbers'),
        (dict(segment=[True, 2], label='x'), 'not two numbers'),
        (dict(segment=[1, 2], label=3), '"label"'),
        (dict(segment=[1, 2]), '"label"'),
    ],
)
@pytest.mark.parametrize('on_invalid', ['error', 'clamp', 'drop'])
def test_malformed_annotations_are_always_errors(load, item, message, on_invalid):
    database = dict(vid=dict(duration=5, annotations=[item]))
    with pytest.raises(AnnotationError, match=message):
        load(database, classes=['x'], on_invalid=on_invalid)


@pytest.mark.parametrize(
    ('video', 'message'),
    [
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
def test_malformed_entries_are_errors(load, video, message):
    with pytest.raises(AnnotationError, match=message):
        load(dict(vid=video), classes=['x'])


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
    with pytest.raises(AnnotationError, match='classes'):
        load(dict(vid=entry(([1, 2], 'x'))), classes=classes)


def test_no_label_at_all_needs_classes(load):
    with pytest.raises(AnnotationError, match='no label'):
        load(dict(vid=entry()))
    assert load(dict(vid=entry()), classes=['x']).classes == ('x',)


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
    assert findings[0].message == (
        'v: annotations[0] [9, 10.5] x: ends 0.500 s after the end of the video '
        '(duration 10 s)'
    )
    # Evaluation takes segments as they are, but no label that has no number.
    video, _, findings = parse_entry('v', item, {'x': 7}, 'keep')
    np.testing.assert_array_equal(video.actions.segments, [[9, 10.5], [12, 13], [1, 2]])
    assert video.actions.labels.tolist() == [7, 7, 7]
    assert [f.outcome for f in findings] == ['kept', 'error', 'kept', 'error', 'kept']
