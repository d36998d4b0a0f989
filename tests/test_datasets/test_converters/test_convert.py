"""Finding out formats, tables, what a person adds, refusals, and the account."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import time

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import convert_annotations, describe_conversion
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import write_json

HEAD = 'video,start,end,label\n'
TABLE = f'{HEAD}a,1,2,run\nb,3,4,jump\nb,5,6,\n'
NO_END, CSV = 'video,start\na,1\n', {'format_name': 'csv'}
OTX = '<?xml version="1.0"?>\n<NXMLINTERCHANGE>'.encode('utf-16')
PAL = '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="PAL"/></ANNOTATION_DOCUMENT>'
FILE_5 = {'file': 5, 'annotations': [{'segment': [1, 2], 'label': 'x'}]}
NO_FPS = {'fps': None, 'annotations': [{'start_frame': 1, 'end_frame': 2}]}


def test_folders_need_files_of_one_format(convert, data, tmp_path, write):
    with pytest.raises(UserError, match='files of 3 formats .*--format'):
        convert(data)
    (name,) = convert(data, 'via3').result.files
    assert name.endswith('/via3.json')
    with pytest.raises(UserError, match='no known annotation .* in an empty folder'):
        convert(tmp_path)
    write({'notes.txt': 'nothing to see', 'picture.png': b'\x89PNG\xff'})
    with pytest.raises(UserError, match='in notes.txt.*--format') as error:
        convert(tmp_path)
    assert 'picture.png: not a text file' in str(error.value)
    with pytest.raises(UserError, match='no such file or folder'):
        convert(tmp_path / 'none')


# A sample or file of a content, options, and the message.
@pytest.mark.parametrize(
    ('source', 'options', 'message'),
    [
        ('via3.json', {'format_name': 'x'}, "no format 'x'; known are .*boris"),
        ('ut_interaction/labels.csv', {}, '--fps'),
        ('gtad/gt.csv', {}, '--classes'),
        ('charades/charades.json', {}, 'Charades_v1_classes.txt'),
        ('session.eaf', {'select': ['foot']}, 'no tier foot .* it has hand, note'),
        ('session.eaf', {'label_field': 'x'}, 'one of value, tier, tier:value'),
        ('project.boris', {'select': ['x']}, 'no observation x .* morning, live'),
        ('table/plain.csv', {'fps': 25.0}, 'csv does not know --fps'),
        ('table/plain.csv', {'select': ['x']}, 'csv does not know --select'),
        ('table/plain.csv', {'label_field': 'x'}, 'csv does not know --label-field'),
        ({'a.xls': b'\xd0\xcf\x11\xe0'}, {}, 'a.xls: is an Excel 97.*save each sheet'),
        ({'a.xlsx': b'PK\x03\x04'}, {}, 'a.xlsx: is a spreadsheet .*save each sheet'),
        ({'a.pkl': b'\x80\x04\x95'}, {}, 'a.pkl: is a .*pickle.*may run any code'),
        ({'a.otx': OTX}, {}, 'a.otx: is a .*Observer XT.*no observation.*Export'),
        ({'a.eaf': '<other/>'}, {}, 'not an ELAN document but <other>'),
        ({'a.eaf': PAL}, {}, "TIME_UNITS='PAL'"),
        ({'a.json': '{"a": {"annotations": []}, "a": {}}'}, {}, r'1 keys \(a\) stand'),
        ({'a.json': {'a': FILE_5}}, {}, 'a: "file" must be a name, got 5'),
        ({'a.json': {'v': NO_FPS}}, {}, 'v: needs "fps" for its frames, got None'),
        ({'a.csv': f'{HEAD}a,x,2,run\n'}, {}, '1 start or end is not a time'),
        ({'a.csv': HEAD}, {}, 'no annotation in .*it holds none'),
        ({'a.csv': NO_END}, CSV, 'no column end, label; .* got video, start'),
    ],
)
def test_what_is_unusable_is_told(convert, data, tmp_path, source, options, message):
    if isinstance(source, str):
        # Alone, without the files beside it.
        source = shutil.copy(data / source, tmp_path)
    with pytest.raises(UserError, match=message):
        convert(source, **options)


def test_a_person_may_add_subset_durations_and_classes(convert):
    facts = {'a': {'duration': 30.5, 'fps': 25.0}, 'other': 1.0}
    files = {'a.csv': TABLE, 'd.json': facts, 'c.txt': 'walk\nrun\n'}
    done = convert(files, subset='mine', durations='d.json', classes='c.txt')
    assert {entry['subset'] for entry in done.videos.values()} == {'mine'}
    assert (done.videos['a']['duration'], done.videos['a']['fps']) == (30.5, 25.0)
    assert 'other' not in done.videos
    # The order of the list stays; what is not in it is reported.
    assert done.classes == ['walk', 'run', 'jump']
    assert '1 labels are not in the class list and were added to it: jump' in done.notes
    assert '1 videos have no "duration"; --durations PATH adds it: b' in done.notes
    # Durations of a person win.
    table = 'video,start,end,label,duration\na,1,2,run,30\n'
    done = convert({'a.csv': table, 'd.json': {'a': 31.0}}, durations='d.json')
    assert done.videos['a']['duration'] == 31.0
    note = '1 values were replaced by those of --durations: a duration 30 -> 31'
    assert note in done.notes


def test_each_sheet_of_a_spreadsheet_is_a_table(convert, tmp_path):
    head, path = ['video', 'start', 'end', 'label'], tmp_path / 'a.xlsx'
    sheets = {
        'one': [head, ['a', 1.5, time(0, 1, 2), 'jump, run']],
        'two': [head, ['b', 3, 4.25, 'x'], ['b', 'soon', 2, 'x']],
        'empty': [],
    }
    with pd.ExcelWriter(path) as file:
        for sheet, rows in sheets.items():
            table = pd.DataFrame(rows)
            table.to_excel(file, sheet_name=sheet, header=False, index=False)
    for source in (path, tmp_path):
        done = convert(source)
        assert done.format == 'csv'
        assert done.result.files == [f'{path} [one]', f'{path} [two]']
        assert done.actions == {'a': [(1.5, 62.0, 'jump, run')], 'b': [(3, 4.25, 'x')]}
        reason = 'start or end is not a time'
        assert done.result.dropped == {reason: [f'{path} [two]:3']}


def test_the_account_adds_up(convert):
    text = describe_conversion(convert({'a.csv': TABLE}).result)
    assert 'found     3 annotations' in text
    assert 'imported  2 actions of 2 classes in 2 videos' in text
    assert 'left out  1 annotations' in text
    assert 'a.csv:4' in text


many_examples = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
names = st.text('ab_-.é 0', min_size=1, max_size=8).filter(str.strip)
lengths = st.tuples(st.floats(0, 1e5), st.floats(1e-3, 1e4))
segments = lengths.map(lambda pair: [pair[0], sum(pair)])
action = st.fixed_dictionaries({'segment': segments, 'label': st.sampled_from('xyz')})
databases = st.dictionaries(names, st.lists(action, max_size=4), min_size=1, max_size=4)


@given(databases)
@many_examples
def test_a_native_file_comes_back_as_it_was(tmp_path, database):
    database = {**database, 'always': [{'segment': [0.1, 0.3], 'label': 'x'}]}
    facts = {'subset': 'training', 'duration': 2e5}
    entries = {name: {**facts, 'annotations': of} for name, of in database.items()}
    path, out = tmp_path / 'in.json', tmp_path / 'out.json'
    path.write_text(json.dumps({'classes': ['x', 'y', 'z'], 'database': entries}))
    write_json(out, convert_annotations([path]).content)
    assert json.loads(out.read_text())['database'] == entries
    # And the loader of the project takes it.
    loaded = load_annotations(str(out))
    assert loaded.classes == ('x', 'y', 'z')
    for name, items in database.items():
        expected = [item['segment'] for item in items]
        assert loaded.videos[name].actions.segments.tolist() == expected


numbers = st.floats(-1e6, 1e6, allow_nan=False)
NO_TIMES = ['', 'soon', 'nan', '1:2:3:4']
times = st.one_of(numbers.map(repr), st.sampled_from(NO_TIMES))
row_labels = st.sampled_from(['', 'jump', 'long jump, wide', 'Ambiguous', '"quoted"'])
rows = st.lists(
    st.tuples(st.sampled_from(['a', 'b', '']), times, times, row_labels), min_size=1
)


@given(rows)
@many_examples
def test_every_row_is_imported_exactly_or_counted(convert, rows):
    rows = [*rows, ('c', '1.5', '2.5', 'jump')]
    file = io.StringIO()
    csv.writer(file).writerows([('video', 'start', 'end', 'label'), *rows])
    done = convert({'rows.csv': file.getvalue()})
    imported = [(name, *action) for name, of in done.actions.items() for action in of]
    # A row of nothing but empty values is no row.
    num_rows = sum(any(row) for row in rows)
    assert len(imported) + sum(done.dropped.values()) == num_rows

    expected = [
        (video, float(start), float(end), label)
        for video, start, end, label in rows
        if video and label not in ('', 'Ambiguous') and not {start, end} & {*NO_TIMES}
    ]
    assert sorted(imported) == sorted(expected)
