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
    return dict(
        subset=subset,
        duration=duration,
        annotations=[
            dict(segment=list(seg), label=label) for seg, label in annotations
        ],
        **more,
    )


@pytest.fixture
def write(tmp_path):
    def _write(database, **top):
        path = tmp_path / 'anno.json'
        path.write_text(json.dumps(dict(top, database=database)))
        return str(path)

    return _write


def test_reads_segments_labels_and_optional_fields(write):
    path = write(
        dict(
            a=entry(
                ([1, 2.5], 'run'), (['3.0', ' 4'], 'jump'), fps=29.97, file='x.avi'
            ),
            b=entry(subset='validation'),
        )
    )
    result = load_annotations(path)
    assert result.classes == ('jump', 'run')
    assert list(result.videos) == ['a', 'b']
    video = result.videos['a']
    assert (video.subset, video.duration, video.fps, video.file) == (
        'training',
        10.0,
        29.97,
        'x.avi',
    )
    np.testing.assert_array_equal(video.actions.segments, [[1, 2.5], [3, 4]])
    np.testing.assert_array_equal(video.actions.labels, [1, 0])
    assert (
        video.actions.segments.dtype == np.float64
        and video.actions.labels.dtype == np.int64
    )
    assert result.videos['b'].actions.segments.shape == (0, 2)
    assert result.problems == []


def test_classes_come_from_argument_file_or_all_subsets(write):
    database = dict(a=entry(([1, 2], 'z')), b=entry(([1, 2], 'y'), subset='test'))
    path = write(database)
    assert load_annotations(path, subsets='training').classes == ('y', 'z')
    assert load_annotations(path, classes=['z', 'y']).classes == ('z', 'y')
    path = write(database, classes=['z', 'x', 'y'])
    assert load_annotations(path).classes == ('z', 'x', 'y')
    assert load_annotations(path).videos['a'].actions.labels.tolist() == [0]


def test_subsets_select_and_unknown_ones_list_what_there_is(write):
    path = write(dict(a=entry(([1, 2], 'x')), b=entry(([1, 2], 'x'), subset='test')))
    assert list(load_annotations(path, subsets='test').videos) == ['b']
    assert len(load_annotations(path, subsets=['test', 'training']).videos) == 2
    with pytest.raises(AnnotationError, match=r"'val'.*'test', 'training'"):
        load_annotations(path, subsets='val')


def test_missing_subset_and_duration_are_allowed(write):
    path = write(dict(a=dict(annotations=[dict(segment=[1, 999], label='x')])))
    video = load_annotations(path).videos['a']
    assert video.subset == '' and video.duration is None
    with pytest.raises(AnnotationError, match='none'):
        load_annotations(path, subsets='training')


INVALID = dict(
    late=([9, 10.05], 'x'),
    early=([-1, 2], 'x'),
    outside=([11, 12], 'x'),
    zero=([3, 3], 'x'),
    negative=([4, 3], 'x'),
    nan=([float('nan'), 3], 'x'),
)


@pytest.mark.parametrize('name', INVALID)
def test_invalid_segments_are_errors_by_default(write, name):
    with pytest.raises(AnnotationError, match=r'vid: annotations\[1\].*on_invalid'):
        try:
            load_annotations(write(dict(vid=entry(([1, 2], 'x'), INVALID[name]))))
        except AnnotationError as err:
            raise AnnotationError(str(err).replace('\n', ' ')) from err


def test_overshoot_is_named_with_its_value(write):
    with pytest.raises(AnnotationError, match=r'0\.050 s after.*duration 10 s'):
        load_annotations(write(dict(vid=entry(INVALID['late']))))


def test_rounding_of_floats_is_no_overshoot(write):
    path = write(dict(vid=entry(([1, 10.0000000001], 'x'))))
    assert load_annotations(path).videos['vid'].actions.segments.tolist() == [[1, 10.0]]


@pytest.mark.parametrize('segment', [[-1e-311, 0.0], [-1e-9, 0], [10.0, 10.0000001]])
def test_nothing_is_left_of_what_only_rounding_puts_inside(write, segment):
    path = write(dict(a=entry(([1, 2], 'x'), (segment, 'x'))))
    with pytest.raises(AnnotationError, match='lies outside the video'):
        load_annotations(path)
    for on_invalid in ('clamp', 'drop'):
        kept = load_annotations(path, on_invalid=on_invalid).videos['a']
        np.testing.assert_array_equal(kept.actions.segments, [[1, 2]])


def test_clamp_repairs_what_it_can_and_drops_the_rest(write):
    path = write(dict(vid=entry(*INVALID.values())))
    result = load_annotations(path, on_invalid='clamp')
    np.testing.assert_array_equal(
        result.videos['vid'].actions.segments, [[9, 10], [0, 2]]
    )
    assert len(result.problems) == len(INVALID)
    assert sum('clamped' in line for line in result.problems) == 2
    assert sum('dropped' in line for line in result.problems) == 4


def test_drop_leaves_out_every_invalid_one(write):
    path = write(dict(vid=entry(([1, 2], 'x'), *INVALID.values(), ([3, 4], 'y'))))
    result = load_annotations(path, classes=['x'], on_invalid='drop')
    np.testing.assert_array_equal(result.videos['vid'].actions.segments, [[1, 2]])
    assert len(result.problems) == len(INVALID) + 1


@pytest.mark.parametrize('on_invalid', ['error', 'clamp'])
def test_unknown_label_is_an_error(write, on_invalid):
    path = write(dict(vid=entry(([1, 2], 'y'))))
    with pytest.raises(AnnotationError, match="'y' is not among the 1 classes"):
        load_annotations(path, classes=['x'], on_invalid=on_invalid)


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
def test_malformed_annotations_are_always_errors(write, item, message, on_invalid):
    path = write(dict(vid=dict(duration=5, annotations=[item])))
    with pytest.raises(AnnotationError, match=message):
        load_annotations(path, classes=['x'], on_invalid=on_invalid)


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
def test_malformed_entries_are_errors(write, video, message):
    with pytest.raises(AnnotationError, match=message):
        load_annotations(write(dict(vid=video)), classes=['x'])


def test_all_problems_are_told_together(write):
    path = write({f'v{i}': entry(([3, 2], 'x')) for i in range(25)})
    with pytest.raises(AnnotationError) as info:
        load_annotations(path)
    message = str(info.value)
    assert '25 invalid' in message and 'v9' in message and '... and 15 more' in message
    assert 'v10' not in message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{not json', 'not valid JSON'),
        ('', 'not valid JSON'),
        ('[1]', '"database"'),
        ('{"a": 1}', '"database"'),
        ('{"database": []}', '"database"'),
        ('{"database": {}}', 'is empty'),
        ('{"database": {"v": {"annotations": []}, "v": {"annotations": []}}}', "'v'"),
        ('[' * 100000, 'nested too deeply|not valid JSON'),
    ],
)
def test_unusable_files(tmp_path, text, message):
    path = tmp_path / 'anno.json'
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        load_annotations(str(path), classes=['x'])


def test_binary_and_missing_files(tmp_path):
    path = tmp_path / 'anno.json'
    path.write_bytes(b'\xff\xfe\x00\x81')
    with pytest.raises(AnnotationError, match='not valid JSON'):
        load_annotations(str(path))
    with pytest.raises(FileNotFoundError, match='none.json'):
        load_annotations(str(tmp_path / 'none.json'))


@pytest.mark.parametrize('classes', [[], 'x', ['a', 'a'], [1], {'a': 1}])
def test_unusable_class_lists(write, classes):
    path = write(dict(vid=entry(([1, 2], 'x'))))
    with pytest.raises(AnnotationError, match='classes'):
        load_annotations(path, classes=classes)


def test_no_label_at_all_needs_classes(write):
    path = write(dict(vid=entry()))
    with pytest.raises(AnnotationError, match='no label'):
        load_annotations(path)
    assert load_annotations(path, classes=['x']).classes == ('x',)


def test_an_entry_is_parsed_with_a_finding_per_fault():
    item = dict(duration=10, annotations=[])
    for segment, label in [
        ([9, 10.5], 'x'),
        ([1, 2], 'y'),
        ([3, 3], 'y'),
        ([12, 13], 'x'),
        ([1, 2], 'x'),
    ]:
        item['annotations'].append(dict(segment=segment, label=label))
    video, usable, findings = parse_entry('v', item, {'x': 0})
    assert usable == {0: item['annotations'][0], 4: item['annotations'][4]}
    np.testing.assert_array_equal(video.actions.segments, [[9, 10], [1, 2]])
    assert [(f.index, f.kind, f.outcome) for f in findings] == [
        (0, 'beyond-end', 'clamped'),
        (1, 'unknown-label', 'error'),
        (2, 'not-positive', 'dropped'),
        (3, 'outside', 'dropped'),
    ]
    assert [f.weight for f in findings] == [0.5, 0, 0, 3]
    assert findings[0].message == (
        'v: annotations[0] [9, 10.5] x: ends 0.500 s after the end of the video '
        '(duration 10 s)'
    )
    # Evaluation takes segments as they are, but no label that has no number.
    video, _, findings = parse_entry('v', item, {'x': 7}, 'keep')
    np.testing.assert_array_equal(video.actions.segments, [[9, 10.5], [12, 13], [1, 2]])
    assert video.actions.labels.tolist() == [7, 7, 7]
    assert [f.outcome for f in findings] == ['kept', 'error', 'kept', 'error', 'kept']


def test_unknown_option():
    with pytest.raises(ValueError, match='on_invalid'):
        load_annotations('x.json', on_invalid='ignore')
