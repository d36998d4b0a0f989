"""A sample of each format: it is recognized, and what is in it is read or counted."""

from __future__ import annotations

import gzip

import pytest

from mmtal_mts.datasets.converters import CONVERTERS, SourceFile, convert_annotations
from mmtal_mts.utils import UserError

# Actions of the samples.
PLAIN = {'clip.mp4': [(3.4, 7.9, 'jump'), (62.5, 63.0, 'turn')]}
OTHER_NAMES = {'clip': [(3.4, 7.9, 'jump'), (8, 9, 'turn')]}
# Positions in the list, not the numbers in it.
GTAD = {'video_test_0000278': [(2.5, 4.0, 'BasketballDunk')]}
PUTTING, HOLDING = 'Putting clothes somewhere', 'Holding some clothes'
CHARADES = {'YSKX3': [(12.1, 18.0, PUTTING), (5.4, 14.1, HOLDING)]}
STAMPS = {'video_test_0000740': [(0.0, 5.6, 'action')]}
# Frames count from one, and the last one is included.
KTH = {
    'person01_boxing_d1': [(0.0, 95 / 25, 'boxing'), (95 / 25, 185 / 25, 'boxing')],
    'person13_handclapping_d3': [],
}
# In frames as well, from zero.
UT = {'seq1': [(762 / 30, 841 / 30, 'punch'), (1408 / 30, 1562 / 30, 'handshake')]}
# A check box may name several classes for one segment.
TURN = (280, 281.5, 'turn')
VIA3 = {'a b': [(268.022, 272.69913, 'jump'), (280, 281.5, 'jump'), TURN]}
# Time goes on through the files of an observation; exactly, in decimals.
BORIS = {
    'first': [(1.8, 8.125, 'run'), (2.0, 9.25, 'run')],
    'second': [(47.805, 73.53, 'run')],
}
RUN = {'a': [(1.8, 8.125, 'run')]}
# What is left out.
NO_LABEL, NO_PAIR = {'no label': 1}, {'"segment" is not [start, end]': 1}
GTAD_DROPPED = NO_LABEL | {'labelled Ambiguous': 1}
NO_TIME = {'its time slots have no time': 1}
REFERS = {'refers to another annotation, has no time': 1}
EMPTY = {'empty value (see --label-field tier)': 1}
NOT_SELECTED = {'in a tier that is not selected': 1}
VIA3_DROPPED = {
    'region in the picture, not a segment': 1,
    "no value of attribute 'move'": 1,
    '0 times instead of two': 1,
}
POINT = {'point event, has no duration': 1}
NO_STOP = POINT | {'starts, but does not stop': 1}
BORIS_DROPPED = NO_STOP | {'begins and ends in different videos': 1}
NO_VIDEO = BORIS_DROPPED | {'observation without a video': 1}
OTHER_EVENTS = BORIS_DROPPED | {'event of an observation not selected': 2}


def sample(name, format_name, actions, dropped=(), facts=(), **options):
    """With counts of what is left out, facts of the last video, and options."""
    return name, format_name, actions, dict(dropped), dict(facts), options


CHARADES_FACTS = dict(duration=16.62, subset='test')
STAMPS_FACTS = dict(duration=411.4783, fps=30.0)
BORIS_FACTS = dict(duration=359.96, fps=25.0, file='second.mp4')
TABLE_FACTS = dict(subset='validation', duration=30, fps=25)
SAMPLES = [
    # The name of a file is where it is found; the id is not touched.
    sample('table/plain.csv', 'csv', PLAIN, (), dict(file='clip.mp4')),
    sample('table/other_names.csv', 'csv', OTHER_NAMES, (), TABLE_FACTS),
    sample('table/no_names.txt', 'csv', {'a': [(1, 1, 'x'), (3, 4.5, 'y')]}),
    sample('gtad/gt.csv', 'gtad-csv', GTAD, GTAD_DROPPED, classes='classes.txt'),
    sample(
        'charades/Charades_v1_test.csv',
        'charades',
        {'NONE1': [], **CHARADES},
        {'action is not "CLASS START END"': 1},
        CHARADES_FACTS,
    ),
    sample(
        'charades/charades.json', 'charades-json', CHARADES, NO_PAIR, CHARADES_FACTS
    ),
    sample('second_stamps/gt.json', 'second-stamps', STAMPS, NO_PAIR, STAMPS_FACTS),
    sample(
        'mmaction2/anet_anno_action.json',
        'mmaction2',
        {'v_a': [(0.01, 12.64441, 'Drinking beer')]},
        # From the table beside it.
        facts=dict(subset='validation', fps=30.0),
    ),
    *(
        sample(
            'epic100/EPIC_100_validation.csv',
            'epic100',
            {'P01_11': [(0.0, 331.97, label)]},
            facts=dict(subset='validation', duration=700.5),
            label_field=field,
        )
        for field, label in (
            (None, 'take'),
            ('noun', 'plate'),
            ('action', 'take plate'),
        )
    ),
    sample('kth/00sequences.txt', 'kth', KTH),
    sample('kth/FramesOfIntrest.csv', 'kth', KTH),
    sample('ut_interaction/labels.csv', 'ut-interaction', UT, NO_LABEL, fps=30.0),
    sample('ut_interaction/set1.csv', 'ut-interaction', UT, NO_LABEL, fps=30.0),
    *(
        sample(
            'session.eaf',
            'elan',
            # Milliseconds; the video begins half a second after the annotation.
            {'room 1': [(1.501, 2.97, label) for label in labels]},
            NO_TIME | dropped,
            dict(file='room 1.mp4'),
            label_field=field,
            select=select,
        )
        for field, select, labels, dropped in (
            (None, (), ['stroke'], REFERS | EMPTY),
            ('tier', (), ['hand', 'hand'], REFERS),
            ('tier:value', ['hand'], ['hand:stroke'], EMPTY | NOT_SELECTED),
        )
    ),
    sample('via3.json', 'via3', VIA3, VIA3_DROPPED, dict(file='a b.mp4')),
    *(
        sample('project.boris', 'boris', BORIS, dropped, BORIS_FACTS, select=select)
        for select, dropped in (((), NO_VIDEO), (['morning'], OTHER_EVENTS))
    ),
    sample(
        'boris/aggregated.tsv', 'boris-aggregated', RUN, POINT, dict(duration=359.96)
    ),
    sample('boris/tabular.tsv', 'boris-tabular', {'a': [(3.3, 7.75, 'run')]}, NO_STOP),
]


@pytest.mark.parametrize(
    ('name', 'format_name', 'actions', 'dropped', 'facts', 'options'), SAMPLES
)
def test_samples(convert, name, format_name, actions, dropped, facts, options):
    done = convert(name, **options)
    assert (done.format, done.actions) == (format_name, actions)
    assert done.dropped == dropped
    assert facts.items() <= done.videos[[*actions][-1]].items()


FILES = {
    'thumos14/Ambiguous_test.txt': 'thumos14',
    'thumos14/CliffDiving_val.txt': 'thumos14',
    'thumos14/Diving_val.txt': 'thumos14',
    'afsd/val_Annotation_ours.csv': 'afsd-thumos14',
    **{name: format_name for name, format_name, *_ in SAMPLES},
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
    for name, *_, known in SAMPLES:
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
