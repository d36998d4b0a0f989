"""Reading foreign files: text, tables, XML, times, names, class lists, durations."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import SourceFile, read_class_names, source_file
from mmtal_mts.datasets.converters.facts import read_video_facts
from mmtal_mts.datasets.converters.source_file import (
    media_name,
    parse_positive,
    parse_seconds,
    video_id,
)
from mmtal_mts.utils import UserError


@pytest.fixture
def source(write):
    """A file of a content and a name."""
    return lambda content, name='file.txt': SourceFile(write({name: content}))


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('18.6', 18.6),
        (18, 18.0),
        (' 3 ', 3.0),
        ('1:02.5', 62.5),
        ('00:05:27.28', 327.28),
        ('-0:01', -1.0),
        *((value, None) for value in ('1:2:3:4', '1:x', '', 'nan', '1:1e9999999')),
        *((value, None) for value in (float('inf'), True, [1], '9' * 400)),
    ],
)
def test_times_are_read_as_they_stand(value, expected):
    assert parse_seconds(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_time_gives_back_the_same_double(seconds):
    assert parse_seconds(repr(seconds)) == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_clock_times_are_the_double_nearest_to_what_stands_there(hours, minutes, ms):
    text = f'{hours}:{minutes:02d}:{ms // 1000:02d}.{ms % 1000:03d}'
    total_ms = (hours * 60 + minutes) * 60_000 + ms
    # Division of integers is correctly rounded.
    assert parse_seconds(text) == total_ms / 1000


def test_only_positive_numbers_are_durations():
    values = ('2.5', 0, '-1', None)
    assert [parse_positive(value) for value in values] == [2.5, None, None, None]


def test_file_names_are_taken_out_of_paths_and_urls():
    assert media_name('file:///C:/My%20clips/a.mp4') == 'a.mp4'
    assert media_name('clips\\b%20c.mp4') == 'b%20c.mp4'
    names = ('/x/a.b.MP4', 'v_a.b_c1.5', '.mp4')
    assert [video_id(name) for name in names] == ['a.b', 'v_a.b_c1.5', '.mp4']


def test_text_is_utf8_or_utf16(source):
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
        assert source('Übung'.encode(encoding)).text == 'Übung'
    with pytest.raises(UserError, match='file.txt: not a text file.*Save it as UTF-8'):
        _ = source('Übung'.encode('latin-1')).text


def test_a_damaged_or_overlong_compressed_file_is_named(source, monkeypatch):
    whole = gzip.compress(b'video,start,end,label\na,1,2,run\n')
    with pytest.raises(UserError, match=r'a\.csv\.gz: damaged gzip file'):
        _ = source(whole[:-9], 'a.csv.gz').text
    monkeypatch.setattr(source_file, '_MAX_BYTES', 10)
    with pytest.raises(UserError, match=r'a\.csv\.gz: uncompressed larger'):
        _ = source(whole, 'a.csv.gz').text


def test_json_that_would_lose_something_is_refused(source):
    assert source('{"a": 1, "b": {"c": 2}}').json == {'a': 1, 'b': {'c': 2}}
    with pytest.raises(UserError, match=r'1 keys \(c\) stand more than once'):
        _ = source('{"a": 1, "b": {"c": 2, "c": 3}}').json
    for text in ('{"a": ', '[' * 100_000):
        with pytest.raises(UserError, match='file.txt: not valid JSON'):
            _ = source(text).json


@pytest.mark.parametrize('separator', [',', ';', '\t'])
def test_tables_know_line_and_missing_values(source, separator):
    lines = [['a', 'b', 'c'], ['1', '"x, y"', '2'], ['', '', ''], ['3', '4']]
    (_, first), (where, second) = source(
        '\n'.join(separator.join(line) for line in lines)
    ).rows()
    assert first == {'a': '1', 'b': 'x, y', 'c': '2'}
    assert second == {'a': '3', 'b': '4', 'c': ''}
    assert where.endswith('file.txt:4')


def test_tables_with_shifted_values_are_refused(source):
    with pytest.raises(UserError, match='file.txt:2: 3 values for 2 columns'):
        source('a,b\n1,2,3').rows()
    with pytest.raises(UserError, match="columns \\['a'\\] stand there twice"):
        source('a,a\n1,2').rows()


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + ''.join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">'
        for old, new in zip('abcdefgh', 'bcdefghi', strict=True)
    )
    + ']><x>&i;</x>'
)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
@pytest.mark.parametrize(
    'content',
    [BOMB, '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'],
    ids=['bomb', 'external'],
)
def test_xml_with_entities_is_refused(source, content, encoding):
    with pytest.raises(UserError, match='a.eaf: has a DOCTYPE'):
        _ = source(content.encode(encoding), 'a.eaf').xml


def test_an_entity_hidden_by_its_encoding_does_not_get_through(source):
    # Declared as EBCDIC, whose bytes for "<!DOCTYPE" are not ASCII: the declaration
    # has no say, the text is UTF-8.
    head = b'<?xml version="1.0" encoding="cp037"?>'
    with pytest.raises(UserError):
        _ = source(head + BOMB.split('?>')[1].encode('cp037')).xml


def test_xml_is_parsed_and_faults_are_named(source):
    assert source('<?xml version="1.0"?><x y="1"/>').xml.get('y') == '1'
    with pytest.raises(UserError, match='file.txt: not valid XML'):
        _ = source('<x>').xml


@pytest.mark.parametrize(
    ('content', 'classes'),
    [
        ('7 BaseballPitch\n26 Diving\n', {'7': 'BaseballPitch', '26': 'Diving'}),
        ('c000 Holding some clothes\n', {'c000': 'Holding some clothes'}),
        ('Long jump\nHigh jump', {'0': 'Long jump', '1': 'High jump'}),
        ('id,key,instances\n0,take,"[1, 2]"\n', {'0': 'take'}),
        ('["a", "b"]', {'0': 'a', '1': 'b'}),
        ('{"x": "a"}', {'x': 'a'}),
    ],
)
def test_class_lists(source, content, classes):
    assert list(read_class_names(source(content)).items()) == list(classes.items())


def test_class_lists_with_a_class_twice_are_refused(source):
    with pytest.raises(UserError, match=r"names \['a'\] stand there twice"):
        read_class_names(source('a\nb\na'))
    with pytest.raises(UserError, match='no list of classes'):
        read_class_names(source(''))


def test_durations_from_every_place(tmp_path, write, repo_root):
    files = {
        'a.txt': '/x/one.mp4\n61.762000\n',
        'b.csv': 'video,fps,count\ntwo,25.0,50.0\n',
        'c.json': '{"three": 3.5}',
        'd.json': '{"database": {"four": {"duration": 4, "fps": 10}}}',
    }
    write(files)
    paths = [*(tmp_path / name for name in files), repo_root / 'tests' / 'data']
    facts = read_video_facts(paths)
    assert facts['one'] == {'duration': 61.762}
    assert facts['two'] == {'duration': 2.0, 'fps': 25.0}
    assert facts['three']['duration'] == 3.5
    assert facts['four'] == {'duration': 4.0, 'fps': 10.0}
    # A real video file of the tests.
    assert min(facts['index_brightness'].values()) > 0


def test_places_without_durations_are_named(tmp_path, write):
    for content in ('one\ntwo\n', 'video,x\na,1\n', [1], 'one'):
        with pytest.raises(UserError, match='file.txt: holds no durations'):
            read_video_facts([write({'file.txt': content})])
    with pytest.raises(UserError, match='no such file or folder'):
        read_video_facts([tmp_path / 'nothing'])
