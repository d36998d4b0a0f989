"""Finding out formats, what a person adds, and the account of a conversion."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import convert_annotations, describe_conversion
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import write_json

TABLE = 'video,start,end,label\na,1,2,run\nb,3,4,jump\nb,5,6,\n'


def test_two_formats_in_a_folder_must_be_told_apart(data):
    with pytest.raises(UserError, match='files of 3 formats .*--format'):
        convert_annotations([data])
    result = convert_annotations([data], 'via3')
    assert [name.rsplit('/', 1)[-1] for name in result.files] == ['via3.json']


def test_what_is_no_annotation_is_named(tmp_path, data, write):
    with pytest.raises(UserError, match='no known annotation .* in an empty folder'):
        convert_annotations([tmp_path])
    write({'notes.txt': 'nothing to see', 'picture.png': b'\x89PNG\xff'})
    with pytest.raises(UserError, match='in notes.txt.*--format') as error:
        convert_annotations([tmp_path])
    assert 'picture.png: not a text file' in str(error.value)
    with pytest.raises(UserError, match='no such file or folder'):
        convert_annotations([tmp_path / 'none'])
    with pytest.raises(UserError, match="no format 'x'; known are .*boris"):
        convert_annotations([data / 'via3.json'], 'x')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('labels.xls', b'\xd0\xcf\x11\xe0\xa1\xb1', 'Excel 97-2003.*save each sheet'),
        ('labels.xlsx', b'PK\x03\x04\x14\x00', 'spreadsheet .*save each sheet'),
        ('labels.pkl', b'\x80\x04\x95', 'pickle.*may run any code'),
        (
            'template.otx',
            '<?xml version="1.0"?>\n<NXMLINTERCHANGE>'.encode('utf-16'),
            'Observer XT.*no observation.*Export',
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_a_remedy(convert, name, content, message):
    with pytest.raises(UserError, match=rf'{name}: is (a|an) .*{message}'):
        convert({name: content})


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


def test_durations_of_a_person_win_and_that_is_told(convert):
    table = 'video,start,end,label,duration\na,1,2,run,30\n'
    done = convert({'a.csv': table, 'd.json': {'a': 31.0}}, durations='d.json')
    assert done.videos['a']['duration'] == 31.0
    assert '1 values were replaced by those of --durations: a duration 30 -> 31' in (
        done.notes
    )


def test_an_import_of_nothing_is_an_error(convert):
    with pytest.raises(UserError, match='1 start or end is not a time'):
        convert({'a.csv': 'video,start,end,label\na,x,2,run\n'})
    with pytest.raises(UserError, match='no annotation in .*none stands there'):
        convert({'a.csv': 'video,start,end,label\n'})


def test_the_account_adds_up(convert):
    text = describe_conversion(convert({'a.csv': TABLE}).result)
    assert 'found     3 annotations' in text
    assert 'imported  2 actions of 2 classes in 2 videos' in text
    assert 'left out  1 annotations' in text
    assert 'a.csv:4' in text


names = st.text('ab_-.é 0', min_size=1, max_size=8).filter(str.strip)
segments = st.tuples(st.floats(0, 1e5), st.floats(1e-3, 1e4)).map(
    lambda pair: [pair[0], pair[0] + pair[1]]
)
action = st.fixed_dictionaries({'segment': segments, 'label': st.sampled_from('xyz')})
databases = st.dictionaries(names, st.lists(action, max_size=4), min_size=1, max_size=4)


@given(databases)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_native_file_comes_back_as_it_was(tmp_path, database):
    database = {**database, 'always': [{'segment': [0.1, 0.3], 'label': 'x'}]}
    entries = {
        name: {'subset': 'training', 'duration': 2e5, 'annotations': items}
        for name, items in database.items()
    }
    path, out = tmp_path / 'in.json', tmp_path / 'out.json'
    path.write_text(json.dumps({'classes': ['x', 'y', 'z'], 'database': entries}))
    write_json(out, convert_annotations([path]).content)
    assert json.loads(out.read_text())['database'] == entries
    # And the loader of the project takes it.
    loaded = load_annotations(str(out))
    assert loaded.classes == ('x', 'y', 'z')
    for name, entry in entries.items():
        expected = [item['segment'] for item in entry['annotations']]
        assert loaded.videos[name].actions.segments.tolist() == expected
