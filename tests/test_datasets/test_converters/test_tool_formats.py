"""Files of annotation tools: ELAN, VGG Video Annotator, BORIS."""

from __future__ import annotations

import json

import pytest

from mmtal_mts.datasets.converters import (
    ConvertOptions,
    VideoFacts,
    convert_annotations,
)
from mmtal_mts.datasets.converters.boris import MediaFile, MediaQueue
from mmtal_mts.utils import UserError


@pytest.fixture
def data(repo_root):
    return repo_root / 'tests' / 'data' / 'annotations'


def actions_of(result, video):
    return [
        (*action['segment'], action['label'])
        for action in result.content['database'][video]['annotations']
    ]


def dropped(result):
    return {reason: len(places) for reason, places in result.dropped.items()}


# ELAN


def test_elan_takes_what_has_a_time(data):
    result = convert_annotations([data / 'session.eaf'])
    assert result.format == 'elan'
    # Milliseconds, and the video's zero is half a second after the annotation's.
    assert actions_of(result, 'room 1') == [(1.501, 2.97, 'stroke')]
    assert result.content['database']['room 1']['file'] == 'room 1.mp4'
    assert dropped(result) == {
        'its time slots have no time': 1,
        'empty value (see --label-field tier)': 1,
        'refers to another annotation, has no time': 1,
    }


@pytest.mark.parametrize(
    ('field', 'labels'),
    [('tier', ['hand', 'hand']), ('tier:value', ['hand:stroke'])],
)
def test_elan_labels(data, field, labels):
    options = ConvertOptions(label_field=field)
    result = convert_annotations([data / 'session.eaf'], options=options)
    assert [action[2] for action in actions_of(result, 'room 1')] == labels


def test_elan_tiers_are_selected_by_name(data):
    options = ConvertOptions(select=('hand',))
    result = convert_annotations([data / 'session.eaf'], options=options)
    assert dropped(result)['in a tier that is not selected'] == 1
    with pytest.raises(UserError, match='no tier foot .* it has hand, note'):
        convert_annotations(
            [data / 'session.eaf'], options=ConvertOptions(select=('foot',))
        )


def test_elan_in_frames_or_of_another_kind_is_refused(data, tmp_path):
    path = tmp_path / 'a.eaf'
    text = (data / 'session.eaf').read_text()
    path.write_text(text.replace('"milliseconds"', '"PAL-frames"'))
    with pytest.raises(UserError, match="TIME_UNITS='PAL-frames'"):
        convert_annotations([path])
    path.write_text('<other/>')
    with pytest.raises(UserError, match='not an ELAN document but <other>'):
        convert_annotations([path])


# VIA


def test_via3_segments_with_options_of_an_attribute(data):
    result = convert_annotations([data / 'via3.json'])
    assert result.format == 'via3'
    # A check box may name several classes for one segment.
    assert actions_of(result, 'a b') == [
        (268.022, 272.69913, 'jump'),
        (280.0, 281.5, 'jump'),
        (280.0, 281.5, 'turn'),
    ]
    assert result.content['database']['a b']['file'] == 'a b.mp4'
    assert dropped(result) == {
        'region in the picture, not a segment': 1,
        "no value of attribute 'move'": 1,
        '0 times instead of two': 1,
    }


def test_via3_free_text_and_choice_of_the_attribute(data, tmp_path):
    project = json.loads((data / 'via3.json').read_text())
    attribute = {'aname': 'who', 'anchor_id': 'FILE1_Z2_XY0', 'type': 1, 'options': {}}
    project['attribute']['3'] = attribute
    project['metadata'] = {
        'm': {'vid': '1', 'z': [1, 2], 'xy': [], 'av': {'3': 'Ann, Bob'}}
    }
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(project))
    with pytest.raises(UserError, match='2 attributes could name the class.*move, who'):
        convert_annotations([path])
    result = convert_annotations([path], options=ConvertOptions(select=('who',)))
    assert actions_of(result, 'a b') == [(1, 2, 'Ann, Bob')]


# BORIS


def test_boris_project_pairs_events_of_each_subject(data):
    result = convert_annotations([data / 'project.boris'])
    assert result.format == 'boris'
    assert actions_of(result, 'first') == [(1.8, 8.125, 'run'), (2.0, 9.25, 'run')]
    # Time goes on through the files of an observation; exactly, in decimals.
    assert actions_of(result, 'second') == [(47.805, 73.53, 'run')]
    entry = result.content['database']['second']
    assert (entry['duration'], entry['fps'], entry['file']) == (
        359.96,
        25.0,
        'second.mp4',
    )
    assert dropped(result) == {
        'point event, has no duration': 1,
        'begins and ends in different videos': 1,
        'starts, but does not stop': 1,
        'observation without a video': 1,
    }


def test_boris_observations_are_selected_by_name(data):
    options = ConvertOptions(select=('morning',))
    result = convert_annotations([data / 'project.boris'], options=options)
    assert dropped(result)['event of an observation not selected'] == 2
    with pytest.raises(UserError, match='no observation noon .* morning, live'):
        convert_annotations(
            [data / 'project.boris'], options=ConvertOptions(select=('noon',))
        )


def test_boris_says_when_a_video_was_observed_twice(data, tmp_path):
    project = json.loads((data / 'project.boris').read_text())
    project['observations']['again'] = project['observations']['morning']
    path = tmp_path / 'a.boris'
    path.write_text(json.dumps(project))
    notes = convert_annotations([path]).notes
    assert any('first is in 2 observations (again, morning)' in note for note in notes)


AGGREGATED_HEAD = (
    'Observation id\tMedia file\tTotal length\tFPS\tSubject\tBehavior\tBehavior type\t'
    'Start (s)\tStop (s)\n'
)


def test_boris_aggregated_events(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text(
        AGGREGATED_HEAD
        + 'one\ta.mp4\t359.960\t25.0\t\trun\tSTATE\t1.800\t8.125\n'
        + 'one\ta.mp4\t359.960\t25.0\t\tbark\tPOINT\t3.500\t3.500\n'
    )
    result = convert_annotations([path])
    assert result.format == 'boris-aggregated'
    assert actions_of(result, 'a') == [(1.8, 8.125, 'run')]
    assert result.content['database']['a']['duration'] == 359.96
    assert dropped(result) == {'point event, has no duration': 1}


def test_boris_aggregated_events_of_several_files_need_durations(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text(
        AGGREGATED_HEAD
        + 'two\ta.mp4\t539.920\t25.0\t\trun\tSTATE\t1.800\t8.125\n'
        + 'two\tb.mp4\t539.920\t25.0\t\trun\tSTATE\t227.765\t253.490\n'
    )
    with pytest.raises(UserError, match='2 several videos of unknown length'):
        convert_annotations([path])
    durations = {'a': VideoFacts(179.96), 'b': VideoFacts(359.96)}
    result = convert_annotations([path], options=ConvertOptions(durations=durations))
    assert actions_of(result, 'b') == [(47.805, 73.53, 'run')]
    # They do not sum up to the total: a file without events must be in between.
    durations['a'] = VideoFacts(100.0)
    with pytest.raises(UserError, match='2 several videos of unknown length'):
        convert_annotations([path], options=ConvertOptions(durations=durations))


def test_boris_tabular_events(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text(
        'Observation id\tone\t\t\t\t\n\nPlayer #1\ta.mp4\n\n'
        'Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tStatus\n'
        '3.300\t/x/a.mp4\t359.960\t25.0\tann\trun\tSTART\n'
        '5.000\t/x/a.mp4\t359.960\t25.0\tann\tbark\tPOINT\n'
        '7.750\t/x/a.mp4\t359.960\t25.0\tann\trun\tSTOP\n'
        '9.000\t/x/a.mp4\t359.960\t25.0\tann\trun\tSTART\n'
    )
    result = convert_annotations([path])
    assert result.format == 'boris-tabular'
    assert actions_of(result, 'a') == [(3.3, 7.75, 'run')]
    assert dropped(result) == {
        'point event, has no duration': 1,
        'starts, but does not stop': 1,
    }


def test_a_segment_up_to_the_very_end_of_a_file_is_in_it():
    queue = MediaQueue([MediaFile('a', 10.0), MediaFile('b', 5.0)])
    assert queue.locate(8.0, 10.0) == (queue.files[0], 8.0, 10.0)
    assert queue.locate(10.0, 12.0) == (queue.files[1], 0.0, 2.0)
    assert queue.locate(9.0, 10.5) == 'begins and ends in different videos'
    # What runs over the last file is up to the checker.
    assert queue.locate(14.0, 16.0) == (queue.files[1], 4.0, 6.0)
