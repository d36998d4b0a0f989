"""Plain tables of actions."""

from __future__ import annotations

import csv
from datetime import time

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import convert_annotations
from mmtal_mts.utils import UserError


def read(tmp_path, content, name='actions.csv', **kwargs):
    path = tmp_path / name
    path.write_text(content)
    return convert_annotations([path], **kwargs)


def actions_of(result, video):
    return [
        (*action['segment'], action['label'])
        for action in result.content['database'][video]['annotations']
    ]


def test_the_documented_table(tmp_path):
    result = read(
        tmp_path,
        'video,start,end,label\nclip.mp4,3.4,7.9,jump\nclip.mp4,1:02.5,63,turn\n',
    )
    assert result.format == 'csv'
    assert actions_of(result, 'clip.mp4') == [(3.4, 7.9, 'jump'), (62.5, 63.0, 'turn')]
    # The name of a file is where it is found; the id is not touched.
    assert result.content['database']['clip.mp4']['file'] == 'clip.mp4'
    assert result.content['classes'] == ['jump', 'turn']


def test_other_column_names_and_facts_of_the_video(tmp_path):
    result = read(
        tmp_path,
        'Class;End Time;Start Time;Video ID;Split;Duration;FPS\n'
        'jump;7.9;3.4;clip;val;30;25\n',
    )
    entry = result.content['database']['clip']
    assert actions_of(result, 'clip') == [(3.4, 7.9, 'jump')]
    assert (entry['subset'], entry['duration'], entry['fps']) == ('validation', 30, 25)


def test_a_table_without_names_of_columns(tmp_path):
    result = read(tmp_path, 'a\t1\t2\tjump\na\t3\t4.5\tturn\n', name='a.txt')
    assert actions_of(result, 'a') == [(1, 2, 'jump'), (3, 4.5, 'turn')]


def test_each_sheet_of_a_spreadsheet_is_a_table(tmp_path):
    head = ['video', 'start', 'end', 'label']
    path = tmp_path / 'a.xlsx'
    with pd.ExcelWriter(path) as file:
        for sheet, row in [
            ('one', ['a', 1.5, time(0, 1, 2), 'jump, run']),
            ('two', ['b', 3, 4.25, 'turn']),
            ('empty', None),
        ]:
            rows = [head, row] if row else []
            pd.DataFrame(rows).to_excel(
                file, sheet_name=sheet, header=False, index=False
            )
    result = convert_annotations([path])
    assert result.format == 'csv'
    assert result.files == [f'{path} [one]', f'{path} [two]']
    assert actions_of(result, 'a') == [(1.5, 62.0, 'jump, run')]
    assert actions_of(result, 'b') == [(3.0, 4.25, 'turn')]
    pd.DataFrame([head, ['a', 'soon', 2, 'jump'], ['a', 1, 2, 'jump']]).to_excel(
        path, header=False, index=False
    )
    dropped = convert_annotations([tmp_path]).dropped
    assert dropped == {'start or end is not a time': [f'{path} [Sheet1]:2']}


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(UserError, match='no column end, label; .* got video, start'):
        read(tmp_path, 'video,start\na,1\n', format_name='csv')


def test_contradicting_facts_are_told(tmp_path):
    result = read(tmp_path, 'video,start,end,label,duration\na,1,2,x,30\na,3,4,x,31\n')
    assert result.content['database']['a']['duration'] == 30
    assert any('1 contradicting values of "duration"' in note for note in result.notes)


numbers = st.floats(-1e6, 1e6, allow_nan=False)
times = st.one_of(numbers.map(repr), st.sampled_from(['', 'soon', 'nan', '1:2:3:4']))
labels = st.sampled_from(['', 'jump', 'long jump, wide', 'Ambiguous', '"quoted"'])
rows = st.lists(
    st.tuples(st.sampled_from(['a', 'b', '']), times, times, labels), min_size=1
)


@given(rows)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_row_is_imported_exactly_or_counted(tmp_path, rows):
    rows = [*rows, ('c', '1.5', '2.5', 'jump')]
    path = tmp_path / 'rows.csv'
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['video', 'start', 'end', 'label'])
        writer.writerows(rows)
    result = convert_annotations([path])
    database = result.content['database']
    imported = [
        (video, *action['segment'], action['label'])
        for video in database
        for action in database[video]['annotations']
    ]
    num_dropped = sum(map(len, result.dropped.values()))
    # A row of nothing but empty values is no row.
    assert len(imported) + num_dropped == sum(any(row) for row in rows)

    expected = []
    for video, start, end, label in rows:
        if video and label not in ('', 'Ambiguous'):
            try:
                segment = [float(start), float(end)]
            except ValueError:
                continue
            if 'nan' not in (start, end):
                expected.append((video, *segment, label))
    assert sorted(imported) == sorted(expected)
