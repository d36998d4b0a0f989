"""A sample of each format: it is recognized, and what is in it is read or counted."""

from __future__ import annotations

import gzip
import shutil

import pytest

from mmtal_mts.datasets.converters import CONVERTERS, SourceFile, convert_annotations
from mmtal_mts.utils import UserError

PUTTING, HOLDING = 'Putting clothes somewhere', 'Holding some clothes'
CHARADES = {'YSKX3': [(12.1, 18.0, PUTTING), (5.4, 14.1, HOLDING)]}
# Frames count from one, and the last one is included.
KTH = {
    'person01_boxing_d1': [(0.0, 95 / 25, 'boxing'), (95 / 25, 185 / 25, 'boxing')],
    'person13_handclapping_d3': [],
}
# In frames as well, from zero.
UT_SEQUENCES = [(762 / 30, 841 / 30, 'punch'), (1408 / 30, 1562 / 30, 'handshake')]
UT = ({'seq1': UT_SEQUENCES}, {'no label': 1}, {})
ELAN_UNTIMED = {
    'its time slots have no time': 1,
    'refers to another annotation, has no time': 1,
}
ELAN_EMPTY = {'empty value (see --label-field tier)': 1}
# Time goes on through the files of an observation; exactly, in decimals.
BORIS = {
    'first': [(1.8, 8.125, 'run'), (2.0, 9.25, 'run')],
    'second': [(47.805, 73.53, 'run')],
}
BORIS_DROPPED = {
    'point event, has no duration': 1,
    'begins and ends in different videos': 1,
    'starts, but does not stop': 1,
}
# Sample, format, options, actions, counts of what is left out, and facts of videos.
SAMPLES = [
    (
        ('table/plain.csv', 'csv', {}),
        {'clip.mp4': [(3.4, 7.9, 'jump'), (62.5, 63.0, 'turn')]},
        {},
        # The name of a file is where it is found; the id is not touched.
        {'clip.mp4': {'file': 'clip.mp4'}},
    ),
    (
        ('table/other_names.csv', 'csv', {}),
        {'clip': [(3.4, 7.9, 'jump'), (8, 9, 'turn')]},
        {},
        {'clip': {'subset': 'validation', 'duration': 30, 'fps': 25}},
    ),
    (('table/no_names.txt', 'csv', {}), {'a': [(1, 1, 'x'), (3, 4.5, 'y')]}, {}, {}),
    (
        ('gtad/gt.csv', 'gtad-csv', {'classes': 'classes.txt'}),
        # Positions in the list, not the numbers in it.
        {'video_test_0000278': [(2.5, 4.0, 'BasketballDunk')]},
        {'labelled Ambiguous': 1, 'no label': 1},
        {},
    ),
    (
        ('charades/Charades_v1_test.csv', 'charades', {}),
        {**CHARADES, 'NONE1': []},
        {'action is not "CLASS START END"': 1},
        {'YSKX3': {'duration': 16.62, 'subset': 'test'}},
    ),
    (
        ('charades/charades.json', 'charades-json', {}),
        CHARADES,
        {'"segment" is not [start, end]': 1},
        {'YSKX3': {'duration': 16.62, 'subset': 'test'}},
    ),
    (
        ('second_stamps/gt.json', 'second-stamps', {}),
        {'video_test_0000740': [(0.0, 5.6, 'action')]},
        {'"segment" is not [start, end]': 1},
        {'video_test_0000740': {'duration': 411.4783, 'fps': 30.0}},
    ),
    (
        ('mmaction2/anet_anno_action.json', 'mmaction2', {}),
        {'v_a': [(0.01, 12.64441, 'Drinking beer')]},
        {},
        # From the table beside it.
        {'v_a': {'subset': 'validation', 'fps': 30.0}},
    ),
    *(
        (
            ('epic100/EPIC_100_validation.csv', 'epic100', {'label_field': field}),
            {'P01_11': [(0.0, 331.97, label)]},
            {},
            {'P01_11': {'subset': 'validation', 'duration': 700.5}},
        )
        for field, label in {
            None: 'take',
            'noun': 'plate',
            'action': 'take plate',
        }.items()
    ),
    (('kth/00sequences.txt', 'kth', {}), KTH, {}, {}),
    (('kth/FramesOfIntrest.csv', 'kth', {}), KTH, {}, {}),
    (('ut_interaction/labels.csv', 'ut-interaction', {'fps': 30.0}), *UT),
    (('ut_interaction/set1.csv', 'ut-interaction', {'fps': 30.0}), *UT),
    (
        ('session.eaf', 'elan', {}),
        # Milliseconds, and the video's zero is half a second after the annotation's.
        {'room 1': [(1.501, 2.97, 'stroke')]},
        {**ELAN_UNTIMED, **ELAN_EMPTY},
        {'room 1': {'file': 'room 1.mp4'}},
    ),
    (
        ('session.eaf', 'elan', {'label_field': 'tier'}),
        {'room 1': [(1.501, 2.97, 'hand'), (1.501, 2.97, 'hand')]},
        ELAN_UNTIMED,
        {},
    ),
    (
        ('session.eaf', 'elan', {'label_field': 'tier:value', 'select': ['hand']}),
        {'room 1': [(1.501, 2.97, 'hand:stroke')]},
        {
            **ELAN_EMPTY,
            'its time slots have no time': 1,
            'in a tier that is not selected': 1,
        },
        {},
    ),
    (
        ('via3.json', 'via3', {}),
        # A check box may name several classes for one segment.
        {
            'a b': [
                (268.022, 272.69913, 'jump'),
                (280, 281.5, 'jump'),
                (280, 281.5, 'turn'),
            ]
        },
        {
            'region in the picture, not a segment': 1,
            "no value of attribute 'move'": 1,
            '0 times instead of two': 1,
        },
        {'a b': {'file': 'a b.mp4'}},
    ),
    (
        ('project.boris', 'boris', {}),
        BORIS,
        {**BORIS_DROPPED, 'observation without a video': 1},
        {'second': {'duration': 359.96, 'fps': 25.0, 'file': 'second.mp4'}},
    ),
    (
        ('project.boris', 'boris', {'select': ['morning']}),
        BORIS,
        {**BORIS_DROPPED, 'event of an observation not selected': 2},
        {},
    ),
    (
        ('boris/aggregated.tsv', 'boris-aggregated', {}),
        {'a': [(1.8, 8.125, 'run')]},
        {'point event, has no duration': 1},
        {'a': {'duration': 359.96}},
    ),
    (
        ('boris/tabular.tsv', 'boris-tabular', {}),
        {'a': [(3.3, 7.75, 'run')]},
        {'point event, has no duration': 1, 'starts, but does not stop': 1},
        {},
    ),
]


@pytest.mark.parametrize(('sample', 'actions', 'dropped', 'facts'), SAMPLES)
def test_samples(convert, sample, actions, dropped, facts):
    name, format_name, options = sample
    done = convert(name, **options)
    assert done.format == format_name
    assert done.actions == actions
    assert done.dropped == dropped
    for video, expected in facts.items():
        assert expected.items() <= done.videos[video].items()


FILES = {
    'thumos14/Ambiguous_test.txt': 'thumos14',
    'thumos14/CliffDiving_val.txt': 'thumos14',
    'thumos14/Diving_val.txt': 'thumos14',
    'afsd/val_Annotation_ours.csv': 'afsd-thumos14',
    **{name: format_name for (name, format_name, _), *_ in SAMPLES},
}


def test_each_sample_is_of_one_format_and_other_files_of_none(data):
    for path in data.rglob('*.*'):
        found = [n for n, of in CONVERTERS.items() if of.accepts(SourceFile(path))]
        expected = FILES.get(str(path.relative_to(data)))
        assert found == ([expected] if expected else []), path


@pytest.mark.parametrize('sample', FILES)
def test_compressed_files_are_read_as_they_are(convert, data, tmp_path, sample):
    """And what lies beside a file is found compressed as well."""
    path = data / sample
    for other in path.parent.glob('*.*'):
        (tmp_path / f'{other.name}.gz').write_bytes(gzip.compress(other.read_bytes()))
    options = {'keep_ambiguous': 'Ambiguous' in sample}
    for (name, _, known), *_ in SAMPLES:
        options |= known if name == sample else {}
    expected = convert(path, **options).videos
    if 'classes' in options:
        options['classes'] = 'classes.txt.gz'
    assert convert(tmp_path / f'{path.name}.gz', **options).videos == expected


@pytest.mark.parametrize('name', CONVERTERS)
def test_a_file_of_another_format_is_bad_input_not_a_bug(data, tmp_path, write, name):
    odd = {'a': {'annotations': [7], 'actions': 7, 'gt_second_stamps': 7, 'fps': 5}}
    write({'odd.json': odd, 'list.json': [[1]], 'empty.csv': ''})
    options = {'fps': 25.0} if 'fps' in CONVERTERS[name].options else {}
    for path in [*data.rglob('*.*'), *tmp_path.iterdir()]:
        try:
            result = convert_annotations([path], name, **options)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert result.content['database']


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('ut_interaction/labels.csv', {}, '--fps'),
        ('gtad/gt.csv', {}, '--classes'),
        ('charades/charades.json', {}, 'Charades_v1_classes.txt'),
        ('session.eaf', {'select': ['foot']}, 'no tier foot .* it has hand, note'),
        ('session.eaf', {'label_field': 'x'}, 'one of value, tier, tier:value'),
        ('project.boris', {'select': ['x']}, 'no observation x .* morning, live'),
        ('table/plain.csv', {'fps': 25.0}, 'csv does not know --fps'),
        ('table/plain.csv', {'select': ['x']}, 'csv does not know --select'),
        ('table/plain.csv', {'label_field': 'x'}, 'csv does not know --label-field'),
    ],
)
def test_missing_or_unknown_options_are_refused(
    convert, data, tmp_path, name, options, message
):
    # Alone, without the files beside it.
    path = shutil.copy(data / name, tmp_path)
    with pytest.raises(UserError, match=message):
        convert(path, **options)
