"""Files of annotation tools: ELAN, VGG Video Annotator, BORIS."""

from __future__ import annotations

import json

import pytest

from mmtal_mts.utils import UserError


def test_elan_takes_what_has_a_time(convert, data):
    done = convert(data / 'session.eaf')
    assert done.format == 'elan'
    # Milliseconds, and the video's zero is half a second after the annotation's.
    assert done.actions == {'room 1': [(1.501, 2.97, 'stroke')]}
    assert done.videos['room 1']['file'] == 'room 1.mp4'
    assert done.dropped == {
        'its time slots have no time': 1,
        'empty value (see --label-field tier)': 1,
        'refers to another annotation, has no time': 1,
    }


@pytest.mark.parametrize(
    ('field', 'labels'),
    [('tier', ['hand', 'hand']), ('tier:value', ['hand:stroke'])],
)
def test_elan_labels(convert, data, field, labels):
    done = convert(data / 'session.eaf', label_field=field)
    assert [action[2] for action in done.actions['room 1']] == labels


@pytest.mark.parametrize(
    ('name', 'select', 'dropped', 'message'),
    [
        (
            'session.eaf',
            'hand',
            ('in a tier that is not selected', 1),
            'no tier nix .* it has hand, note',
        ),
        (
            'project.boris',
            'morning',
            ('event of an observation not selected', 2),
            'no observation nix .* morning, live',
        ),
    ],
)
def test_tiers_and_observations_are_selected_by_name(
    convert, data, name, select, dropped, message
):
    assert dropped in convert(data / name, select=[select]).dropped.items()
    with pytest.raises(UserError, match=message):
        convert(data / name, select=['nix'])


def test_elan_in_frames_or_of_another_kind_is_refused(convert, data):
    text = (data / 'session.eaf').read_text()
    with pytest.raises(UserError, match="TIME_UNITS='PAL-frames'"):
        convert({'a.eaf': text.replace('"milliseconds"', '"PAL-frames"')})
    with pytest.raises(UserError, match='not an ELAN document but <other>'):
        convert({'a.eaf': '<other/>'})


def test_via3_segments_with_options_of_an_attribute(convert, data):
    done = convert(data / 'via3.json')
    assert done.format == 'via3'
    # A check box may name several classes for one segment.
    assert done.actions['a b'] == [
        (268.022, 272.69913, 'jump'),
        (280.0, 281.5, 'jump'),
        (280.0, 281.5, 'turn'),
    ]
    assert done.videos['a b']['file'] == 'a b.mp4'
    assert done.dropped == {
        'region in the picture, not a segment': 1,
        "no value of attribute 'move'": 1,
        '0 times instead of two': 1,
    }


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


def test_boris_project_pairs_events_of_each_subject(convert, data):
    done = convert(data / 'project.boris')
    assert done.format == 'boris'
    # Time goes on through the files of an observation; exactly, in decimals.
    assert done.actions == {
        'first': [(1.8, 8.125, 'run'), (2.0, 9.25, 'run')],
        'second': [(47.805, 73.53, 'run')],
    }
    facts = {'duration': 359.96, 'fps': 25.0, 'file': 'second.mp4'}
    assert facts.items() <= done.videos['second'].items()
    assert done.dropped == {
        'point event, has no duration': 1,
        'begins and ends in different videos': 1,
        'starts, but does not stop': 1,
        'observation without a video': 1,
    }


def test_boris_says_what_is_odd_about_an_observation(convert, data):
    project = json.loads((data / 'project.boris').read_text())
    again = {**project['observations']['morning'], 'time offset': 5.5}
    project['observations']['again'] = again
    notes = convert({'a.boris': project}).notes
    assert 'first is in 2 observations (again, morning)' in notes
    assert 'a.boris: again: has a time offset of 5.5 s' in notes


AGGREGATED = (
    'Observation id\tMedia file\tTotal length\tFPS\tSubject\tBehavior\tBehavior type\t'
    'Start (s)\tStop (s)\n'
)


def test_boris_aggregated_events(convert):
    table = (
        AGGREGATED
        + 'one\ta.mp4\t359.960\t25.0\t\trun\tSTATE\t1.800\t8.125\n'
        + 'one\ta.mp4\t359.960\t25.0\t\tbark\tPOINT\t3.500\t3.500\n'
    )
    done = convert({'a.tsv': table})
    assert done.format == 'boris-aggregated'
    assert done.actions == {'a': [(1.8, 8.125, 'run')]}
    assert done.videos['a']['duration'] == 359.96
    assert done.dropped == {'point event, has no duration': 1}


# Lengths of files a and b, times of states after the one in a, and what becomes of it.
@pytest.mark.parametrize(
    ('lengths', 'times', 'expected'),
    [
        ((179.96, 359.96), ('227.765', '253.490'), (47.805, 73.53, 'run')),
        # They do not sum up to the total: a file without events must be in between.
        ((100.0, 359.96), ('227.765', '253.490'), None),
        (None, ('227.765', '253.490'), None),
        # Up to the very end of a file is in it.
        ((179.96, 359.96), ('179.96', '181.96'), (0.0, 2.0, 'run')),
        # What runs over the last file is up to the checker.
        ((179.96, 359.96), ('539.0', '541.0'), (359.04, 361.04, 'run')),
        ((179.96, 359.96), ('179.0', '180.5'), 'begins and ends in different videos'),
    ],
)
def test_boris_time_goes_on_through_the_files(convert, lengths, times, expected):
    row = 'two\t{}.mp4\t539.920\t25.0\t\trun\tSTATE\t{}\t{}\n'
    table = AGGREGATED + row.format('a', '170.0', '179.96') + row.format('b', *times)
    facts = dict(zip('ab', lengths or (), strict=False))
    files = {'a.tsv': table, 'd.json': facts}
    options = {'durations': ['d.json']} if lengths else {}
    if expected is None:
        with pytest.raises(UserError, match='2 several videos of unknown length'):
            convert(files, **options)
        return
    done = convert(files, **options)
    assert done.actions['a'] == [(170.0, 179.96, 'run')]
    if isinstance(expected, str):
        assert done.dropped == {expected: 1}
    else:
        assert done.actions['b'] == [expected]


def test_boris_tabular_events(convert):
    row = '{}\t/x/a.mp4\t359.960\t25.0\tann\t{}\n'.format
    table = (
        'Observation id\tone\t\t\t\t\n\nPlayer #1\ta.mp4\n\n'
        'Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tStatus\n'
        + row('3.300', 'run\tSTART')
        + row('5.000', 'bark\tPOINT')
        + row('7.750', 'run\tSTOP')
        + row('9.000', 'run\tSTART')
    )
    done = convert({'a.tsv': table})
    assert done.format == 'boris-tabular'
    assert done.actions == {'a': [(3.3, 7.75, 'run')]}
    assert done.dropped == {
        'point event, has no duration': 1,
        'starts, but does not stop': 1,
    }
