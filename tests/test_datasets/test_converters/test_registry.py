"""Finding out formats, and the account of an import."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import (
    CONVERTERS,
    ClassNames,
    ConvertOptions,
    SourceFile,
    VideoFacts,
    convert_annotations,
    describe_conversion,
    detect_format,
    source_file,
)
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import write_json


@pytest.fixture
def data(repo_root):
    return repo_root / 'tests' / 'data' / 'annotations'


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'actions.csv'
    path.write_text('video,start,end,label\na,1,2,run\nb,3,4,jump\nb,5,6,\n')
    return path


def test_each_sample_is_of_one_format(data):
    found = {
        path.name: [
            name
            for name, converter in CONVERTERS.items()
            if converter.accepts(SourceFile(path))
        ]
        for path in sorted(data.rglob('*'))
        if path.is_file()
    }
    assert found == {
        'Ambiguous_test.txt': ['thumos14'],
        'CliffDiving_val.txt': ['thumos14'],
        'Diving_val.txt': ['thumos14'],
        'durations.txt': [],
        'project.boris': ['boris'],
        'session.eaf': ['elan'],
        'val_Annotation_ours.csv': ['afsd-thumos14'],
        'val_video_info.csv': [],
        'via3.json': ['via3'],
    }


@pytest.mark.parametrize('name', CONVERTERS)
def test_a_file_of_another_format_is_bad_input_not_a_bug(data, tmp_path, name):
    odd = {'a': {'annotations': [7], 'actions': 7, 'gt_second_stamps': 7, 'fps': 5}}
    (tmp_path / 'odd.json').write_text(json.dumps(odd))
    (tmp_path / 'list.json').write_text('[[1]]')
    (tmp_path / 'empty.csv').write_text('')
    files = [path for path in data.rglob('*') if path.is_file()]
    options = ConvertOptions(fps=25.0 if CONVERTERS[name].uses_fps else None)
    for path in [*files, *tmp_path.iterdir()]:
        try:
            result = convert_annotations([path], name, options)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert result.content['database']


def test_two_formats_in_a_folder_must_be_told_apart(data):
    with pytest.raises(UserError, match='files of 3 formats .*--format'):
        convert_annotations([data])
    result = convert_annotations([data], 'via3')
    assert [name.rsplit('/', 1)[-1] for name in result.files] == ['via3.json']


def test_what_is_no_annotation_is_named(tmp_path, data):
    (tmp_path / 'notes.txt').write_text('nothing to see')
    (tmp_path / 'picture.png').write_bytes(b'\x89PNG\xff')
    with pytest.raises(UserError, match='notes.txt, picture.png.*--format'):
        convert_annotations([tmp_path])
    with pytest.raises(UserError, match='no such file or folder'):
        convert_annotations([tmp_path / 'none'])
    with pytest.raises(UserError, match="no format 'x'; known are boris"):
        convert_annotations([data / 'via3.json'], 'x')
    with pytest.raises(UserError, match='no known annotation format'):
        detect_format([])


@pytest.mark.parametrize(
    ('name', 'start', 'message'),
    [
        ('labels.xls', b'\xd0\xcf\x11\xe0\xa1\xb1', 'Excel 97-2003.*save each sheet'),
        ('labels.xlsx', b'PK\x03\x04\x14\x00', 'spreadsheet .*save each sheet'),
        ('labels.pkl', b'\x80\x04\x95', 'pickle.*may run any code'),
        (
            'template.otx',
            '<?xml version="1.0"?>\n<NXMLINTERCHANGE VERSION_MAJOR="0">'.encode(
                'utf-16'
            ),
            'Observer XT.*no observation.*Export',
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_a_remedy(tmp_path, name, start, message):
    path = tmp_path / name
    path.write_bytes(start)
    with pytest.raises(UserError, match=rf'{name}: is (a|an) .*{message}'):
        convert_annotations([path])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'fps': 25.0}, 'csv does not know --fps'),
        ({'select': ('x',)}, 'csv does not know --select'),
        ({'label_field': 'x'}, 'csv does not know --label-field'),
    ],
)
def test_options_without_effect_are_refused(table, options, message):
    with pytest.raises(UserError, match=message):
        convert_annotations([table], options=ConvertOptions(**options))


def test_unknown_label_fields_are_refused(data):
    options = ConvertOptions(label_field='x')
    with pytest.raises(UserError, match='one of value, tier, tier:value'):
        convert_annotations([data / 'session.eaf'], options=options)


def test_a_person_may_add_subset_durations_and_classes(table):
    options = ConvertOptions(
        subset='mine',
        durations={'a': VideoFacts(30.5, 25.0), 'other': VideoFacts(1.0)},
        classes=ClassNames(('walk', 'run'), ('0', '1')),
    )
    result = convert_annotations([table], options=options)
    database = result.content['database']
    assert database['a']['subset'] == database['b']['subset'] == 'mine'
    assert (database['a']['duration'], database['a']['fps']) == (30.5, 25.0)
    assert 'other' not in database
    # The order of the list stays; what is not in it is reported.
    assert result.content['classes'] == ['walk', 'run', 'jump']
    assert any('1 labels are not in the class list' in note for note in result.notes)
    assert '1 videos have no "duration"; --durations PATH adds it' in result.notes


def test_durations_of_a_person_win_and_that_is_told(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('video,start,end,label,duration\na,1,2,run,30\n')
    options = ConvertOptions(durations={'a': VideoFacts(31.0)})
    result = convert_annotations([path], options=options)
    assert result.content['database']['a']['duration'] == 31.0
    assert any('1 values were replaced' in note for note in result.notes)


def test_an_import_of_nothing_is_an_error(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('video,start,end,label\na,x,2,run\n')
    with pytest.raises(UserError, match='1 start or end is not a time'):
        convert_annotations([path])
    path.write_text('video,start,end,label\n')
    with pytest.raises(UserError, match='the files are empty'):
        convert_annotations([path])


def test_compressed_files_are_read_as_they_are(data, tmp_path):
    """Of every format, and what lies beside a file is found compressed as well."""
    sources = [path for path in data.rglob('*') if path.is_file()]
    for path in sources:
        packed = tmp_path / path.relative_to(data).with_name(f'{path.name}.gz')
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(gzip.compress(path.read_bytes()))
    compared = 0
    for path in sources:
        packed = tmp_path / path.relative_to(data).with_name(f'{path.name}.gz')
        try:
            wanted = convert_annotations([path])
        except UserError:  # durations and class lists
            continue
        assert convert_annotations([packed]).content == wanted.content, path
        compared += 1
    assert compared >= 6


def test_a_damaged_or_overlong_compressed_file_is_named(tmp_path, monkeypatch):
    whole = gzip.compress(b'video,start,end,label\na,1,2,run\n')
    (tmp_path / 'a.csv.gz').write_bytes(whole[:-9])
    with pytest.raises(UserError, match=r'a\.csv\.gz: damaged gzip file'):
        convert_annotations([tmp_path / 'a.csv.gz'], 'csv')
    monkeypatch.setattr(source_file, '_MAX_BYTES', 10)
    (tmp_path / 'a.csv.gz').write_bytes(whole)
    with pytest.raises(UserError, match=r'a\.csv\.gz: uncompressed it is larger'):
        convert_annotations([tmp_path / 'a.csv.gz'], 'csv')


def test_the_account_adds_up(table):
    text = describe_conversion(convert_annotations([table]))
    assert 'found     3 annotations' in text
    assert 'imported  2 actions of 2 classes in 2 videos' in text
    assert 'left out  1 annotations' in text
    assert 'actions.csv:4' in text


names = st.text('ab_-.é 0', min_size=1, max_size=8).filter(str.strip)
segments = st.tuples(st.floats(0, 1e5), st.floats(1e-3, 1e4)).map(
    lambda pair: [pair[0], pair[0] + pair[1]]
)
actions = st.lists(
    st.fixed_dictionaries({'segment': segments, 'label': st.sampled_from('xyz')}),
    max_size=4,
)
databases = st.dictionaries(names, actions, min_size=1, max_size=4)


@given(databases)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_native_file_comes_back_as_it_was(tmp_path, database):
    entries = {
        name: {'subset': 'training', 'duration': 2e5, 'annotations': items}
        for name, items in {
            **database,
            'always': [{'segment': [0.1, 0.3], 'label': 'x'}],
        }.items()
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
