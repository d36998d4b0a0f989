"""A sample of each format is recognized, and read or counted; dialects, odd entries."""

from __future__ import annotations

import gzip
import json

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
EPIC = {None: 'take', 'noun': 'plate', 'action': 'take plate'}
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
        for field, label in EPIC.items()
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


BEER = {'segment': [0.01, 12.64441], 'label': 'Drinking beer'}


def test_thumos14_text_files(convert, data):
    done = convert('thumos14')
    assert len(done.result.files) == 3
    assert done.videos['video_validation_0000161']['subset'] == 'validation'
    diving = [(11.3, 14.1, 'Diving'), (21.0, 23.9, 'Diving')]
    actions = done.actions['video_validation_0000161']
    assert actions == [(11.3, 14.1, 'CliffDiving'), *diving]
    assert done.classes == ['CliffDiving', 'Diving']
    # Nothing vanishes: the ambiguous ones and the video with nothing else are told.
    assert done.dropped == {'labelled Ambiguous': 2}
    assert list(done.result.removed_videos) == ['video_test_0001292']
    assert '1 files were not read as annotations: durations.txt' in done.notes
    kept = convert('thumos14', keep_ambiguous=True)
    assert kept.dropped == {}
    actions = [(78.4, 113.2, 'Ambiguous'), (39.9, 47.4, 'Ambiguous')]
    assert kept.actions['video_test_0001292'] == actions
    done = convert('thumos14/Diving_val.txt', durations='durations.txt')
    assert done.videos['video_validation_0000161']['duration'] == 61.762
    done = convert({'Diving_val.txt': 'video_validation_0000161  1 2\nrubbish\n'})
    ((reason, (place,)),) = done.result.dropped.items()
    assert reason == 'line is not "VIDEO START END"'
    assert place.endswith('.txt:2')


def test_afsd_tables_take_the_seconds(convert):
    done = convert('afsd/val_Annotation_ours.csv')
    entry = done.videos['video_validation_0000666']
    # The frame columns of this video are at 30 fps, up to 130 s late.
    assert (entry['fps'], entry['duration']) == (25.0, 35234 / 25)
    assert entry['annotations'][0]['segment'] == [191.5, 204.3]
    assert entry['annotations'][0]['segment(frames)'] == [5745, 6129]
    # A row after the end of its video is imported; the checker's matter.
    assert (120.5, 127.0, 'HighJump') in done.actions['video_validation_0000364']


def test_afsd_json_of_activitynet_turns_frames_into_seconds(convert):
    fps, segment = 29.97, [12.64441, 86.71838]
    action = {'start_frame': segment[0] * fps, 'end_frame': segment[1] * fps}
    action |= {'label': 'Dodgeball', 'label_id': 17}
    entry = {'duration': 92.18, 'frame_num': 768, 'fps': fps, 'annotations': [action]}
    done = convert({'video_info_train_val.json': {'v_a': entry}})
    assert done.format == 'afsd-activitynet'
    assert done.actions['v_a'][0][:2] == pytest.approx(segment, rel=1e-15)
    assert 'fps' not in done.videos['v_a']


# Facts of a video and of its action, and the field that is not taken over.
FACTS = {'subset': 'training', 'duration': 14.07, 'fps': 30}
FRAMES = {'label_id': 3, 'segment(frames)': [0.3, 379.3323]}
DIALECTS = {
    'actionformer': ({**FACTS, 'subset': 'Training'}, FRAMES, None),
    'opentad': ({**FACTS, 'frame': 422}, {'label_id': 3}, 'frame'),
    'backtal': ({**FACTS, 'subset': 'train', 'vid_idx': [22]}, {'idx': 22}, 'vid_idx'),
    # Times as text, as R-C3D has them too.
    'gtad': ({**FACTS, 'duration': '14.07'}, {'segment': ['0.01', '12.64441']}, None),
    # The name is in "class".
    'rtd': (
        {'subset': 'train', 'duration_second': 14.07, 'duration_frame': 422, 'fps': 30},
        {'class': 'Drinking beer', 'label': 23, 'segment_frame': [0, 379]},
        'duration_frame',
    ),
}


@pytest.mark.parametrize('dialect', DIALECTS)
def test_json_dialects_give_the_same(convert, dialect):
    video, action, unknown = DIALECTS[dialect]
    content = {'v_a': {**video, 'annotations': [{**BEER, **action}]}}
    if dialect == 'opentad':
        # Test videos have no "annotations", in ActionFormer's files neither.
        content['v_test'] = {'subset': 'test', 'duration': 3.0, 'frame': 90}
    if dialect != 'rtd':
        content = {'version': 'v1.3', 'database': content}
    done = convert({'a.json': content})
    assert done.format == ('mmaction2' if dialect == 'rtd' else 'activitynet')
    assert FACTS.items() <= done.videos['v_a'].items()
    assert done.actions['v_a'] == [(0.01, 12.64441, 'Drinking beer')]
    assert done.classes == ['Drinking beer']
    notes = [note for note in done.result.notes if 'fields were not taken over' in note]
    assert notes == [f'1 fields were not taken over: {unknown}'] * (unknown is not None)


def test_subsets_are_in_file_names_and_in_ids_of_thumos14(convert):
    video = {'annotations': [BEER]}
    done = convert({'anet_anno_train.json': {'v_a': video}})
    assert done.videos['v_a']['subset'] == 'training'
    database = {'video_validation_0000051': dict(video, subset='train')}
    database['video_test_0000004'] = dict(video, subset='validation')
    done = convert({'a.json': {'version': 'THUMOS14', 'database': database}})
    for name, entry in done.videos.items():
        assert entry['subset'] == name.split('_')[1]
    assert "1 videos of subset 'train' are written as 'validation'" in done.notes


def test_json_with_odd_annotations_counts_them(convert):
    pairs = [([1, 2], 'x'), ([1], 'x'), ([1, 'soon'], 'x')]
    pairs += [([1, 2], number) for number in (5, 1, -1)]
    items = [dict(segment=segment, label=label) for segment, label in pairs]
    videos = {'a': {'annotations': items}}
    videos['b'] = {'subset': 'testing', 'annotations': []}
    files = {'a.json': {'database': videos}, 'c.txt': 'run\njump\n'}
    dropped = {'"segment" is not [start, end]': 1, 'start or end is not a time': 1}
    done = convert(files)
    assert done.dropped == {**dropped, 'no label': 3}
    assert done.actions['a'] == [(1, 2, 'x')]
    # Videos without actions stay.
    assert done.videos['b'] == {'annotations': [], 'subset': 'test'}
    # Numbers are positions in the class list.
    done = convert(files, classes='c.txt')
    assert done.dropped == {**dropped, 'no label': 2}
    assert done.actions['a'] == [(1, 2, 'x'), (1, 2, 'jump')]


def test_classes_of_a_list_are_all_there_in_its_order(convert):
    """So that the files of both subsets get the same list."""
    assert convert('epic100/EPIC_100_validation.csv').classes == ['take', 'put']
    gtad = convert('gtad/gt.csv', classes='classes.txt')
    assert gtad.classes == ['BaseballPitch', 'BasketballDunk']


def test_what_is_odd_is_noted(convert, data):
    notes = convert('kth/00sequences.txt').notes
    assert 'person13_handclapping_d3 has no sequence' in notes
    notes = convert('table/other_names.csv').notes
    assert '1 contradicting values of "duration", the first was kept: clip' in notes
    project = json.loads((data / 'project.boris').read_text())
    again = {**project['observations']['morning'], 'time offset': 5.5}
    project['observations']['again'] = again
    notes = convert({'a.boris': project}).notes
    assert 'first is in 2 observations (again, morning)' in notes
    assert 'a.boris: again: has a time offset of 5.5 s' in notes


def test_via3_free_text_and_choice_of_the_attribute(convert, data):
    project = json.loads((data / 'via3.json').read_text())
    attribute = {'aname': 'who', 'anchor_id': 'FILE1_Z2_XY0', 'type': 1, 'options': {}}
    project['attribute']['3'] = attribute
    item = {'vid': '1', 'z': [1, 2], 'xy': [], 'av': {'3': 'Ann, Bob'}}
    project['metadata'] = {'m': item}
    with pytest.raises(UserError, match='2 attributes could name the class.*move, who'):
        convert({'a.json': project})
    done = convert({'a.json': project}, select=['who'])
    assert done.actions['a b'] == [(1, 2, 'Ann, Bob')]


# Length of file a, start and end of a state after the one in a, what becomes of it.
@pytest.mark.parametrize(
    ('length', 'start', 'end', 'expected'),
    [
        (179.96, '227.765', '253.490', (47.805, 73.53, 'run')),
        # They do not sum up to the total: a file without events must be in between.
        (100.0, '227.765', '253.490', None),
        (None, '227.765', '253.490', None),
        # Up to the very end of a file is in it, and the next one begins there.
        (179.96, '179.96', '181.96', (0.0, 2.0, 'run')),
        # What runs over the last file is up to the checker.
        (179.96, '539.0', '541.0', (359.04, 361.04, 'run')),
        (179.96, '179.0', '180.5', ('begins and ends in different videos', 1)),
    ],
)
def test_boris_time_goes_on_in_files(convert, data, length, start, end, expected):
    head = (data / 'boris' / 'aggregated.tsv').read_text().splitlines()[0]
    rows = [('a', '170.0', '179.96'), ('b', start, end)]
    row = '\ntwo\t{}.mp4\t539.920\t25.0\t\trun\tSTATE\t{}\t{}'.format
    files = {'a.tsv': head + ''.join(row(*values) for values in rows)}
    files['d.json'] = {'a': length, 'b': 359.96}
    if expected is None:
        with pytest.raises(UserError, match='2 several videos of unknown length'):
            convert(files, durations='d.json')
        return
    done = convert(files, durations='d.json')
    assert done.actions['a'] == [(170.0, 179.96, 'run')]
    assert [*done.dropped.items(), *done.actions.get('b', ())] == [expected]
