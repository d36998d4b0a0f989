"""Reading foreign files: text, tables, XML, times and names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets.converters import (
    SourceFile,
    VideoFacts,
    read_class_names,
    read_video_facts,
)
from mmtal_mts.datasets.converters.values import (
    media_name,
    parse_positive,
    parse_seconds,
    without_extension,
)
from mmtal_mts.utils import UserError


def write(tmp_path, content, name='file.txt', encoding='utf-8'):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return SourceFile(path)


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('18.6', 18.6),
        (18, 18.0),
        (' 3 ', 3.0),
        ('1:02.5', 62.5),
        ('00:05:27.28', 327.28),
        ('-0:01', -1.0),
        ('1:2:3:4', None),
        ('1:x', None),
        ('', None),
        ('nan', None),
        (float('inf'), None),
        (True, None),
        ([1], None),
        ('9' * 400, None),
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
    assert parse_positive('2.5') == 2.5
    assert parse_positive(0) is None
    assert parse_positive('-1') is None
    assert parse_positive(None) is None


def test_file_names_are_taken_out_of_paths_and_urls():
    assert media_name('file:///C:/My%20clips/a.mp4') == 'a.mp4'
    assert media_name('clips\\b%20c.mp4') == 'b%20c.mp4'
    assert without_extension('a.b.MP4') == 'a.b'
    assert without_extension('v_a.b_c1.5') == 'v_a.b_c1.5'
    assert without_extension('.mp4') == '.mp4'


def test_text_is_utf8_or_utf16(tmp_path):
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
        assert write(tmp_path, 'Übung', encoding=encoding).text == 'Übung'
    with pytest.raises(UserError, match='file.txt: not a text file.*Save it as UTF-8'):
        _ = write(tmp_path, 'Übung', encoding='latin-1').text


def test_json_reports_keys_that_repeat(tmp_path):
    source = write(tmp_path, '{"a": 1, "b": {"c": 2, "c": 3}}')
    assert source.json == {'a': 1, 'b': {'c': 3}}
    assert source.duplicate_keys == ['c']
    with pytest.raises(UserError, match='file.txt: not valid JSON'):
        _ = write(tmp_path, '{"a": ').json
    with pytest.raises(UserError, match='file.txt: not valid JSON'):
        _ = write(tmp_path, '[' * 100_000).json


@pytest.mark.parametrize('separator', [',', ';', '\t'])
def test_tables_know_line_and_missing_values(tmp_path, separator):
    lines = [['a', 'b', 'c'], ['1', '"x, y"', '2'], ['', '', ''], ['3', '4']]
    source = write(tmp_path, '\n'.join(separator.join(line) for line in lines))
    first, second = source.rows
    assert first.values == {'a': '1', 'b': 'x, y', 'c': '2'}
    assert second.values == {'a': '3', 'b': '4', 'c': ''}
    assert second.where.endswith('file.txt:4')


def test_tables_with_shifted_values_are_refused(tmp_path):
    with pytest.raises(UserError, match='file.txt:2: 3 values for 2 columns'):
        _ = write(tmp_path, 'a,b\n1,2,3').rows
    with pytest.raises(UserError, match="columns \\['a'\\] stand there twice"):
        _ = write(tmp_path, 'a,a\n1,2').rows


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
def test_xml_with_entities_is_refused(tmp_path, content, encoding):
    source = write(tmp_path, content, 'a.eaf', encoding)
    with pytest.raises(UserError, match='a.eaf: has a DOCTYPE'):
        _ = source.xml


def test_an_entity_hidden_by_its_encoding_does_not_get_through(tmp_path):
    # Declared as EBCDIC, whose bytes for "<!DOCTYPE" are not ASCII: the declaration
    # has no say, the text is UTF-8.
    head = b'<?xml version="1.0" encoding="cp037"?>'
    path = tmp_path / 'a.eaf'
    path.write_bytes(head + BOMB.split('?>')[1].encode('cp037'))
    with pytest.raises(UserError):
        _ = SourceFile(path).xml


def test_xml_is_parsed_and_faults_are_named(tmp_path):
    assert write(tmp_path, '<?xml version="1.0"?><x y="1"/>').xml.get('y') == '1'
    with pytest.raises(UserError, match='file.txt: not valid XML'):
        _ = write(tmp_path, '<x>').xml


@pytest.mark.parametrize(
    ('content', 'ids', 'names'),
    [
        ('7 BaseballPitch\n26 Diving\n', ('7', '26'), ('BaseballPitch', 'Diving')),
        ('c000 Holding some clothes\n', ('c000',), ('Holding some clothes',)),
        ('Long jump\nHigh jump', ('0', '1'), ('Long jump', 'High jump')),
        ('id,key,instances\n0,take,"[1, 2]"\n', ('0',), ('take',)),
        ('["a", "b"]', ('0', '1'), ('a', 'b')),
        ('{"x": "a"}', ('x',), ('a',)),
    ],
)
def test_class_lists(tmp_path, content, ids, names):
    classes = read_class_names(write(tmp_path, content))
    assert (classes.ids, classes.names) == (ids, names)
    assert classes.by_id(ids[-1]) == names[-1]
    assert classes.at(0) == names[0]
    assert classes.at(len(names)) is None
    assert classes.at(-1) is None
    assert classes.by_id('none') is None


def test_class_lists_with_a_class_twice_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"names \['a'\] stand there twice"):
        read_class_names(write(tmp_path, 'a\nb\na'))
    with pytest.raises(UserError, match='no list of classes'):
        read_class_names(write(tmp_path, ''))


def test_durations_from_every_place(tmp_path, repo_root):
    sources = {
        'a.txt': '/x/one.mp4\n61.762000\n',
        'b.csv': 'video,fps,count\ntwo,25.0,50.0\n',
        'c.json': '{"three": 3.5}',
        'd.json': '{"database": {"four": {"duration": 4, "fps": 10}}}',
    }
    paths = []
    for name, content in sources.items():
        paths.append(write(tmp_path, content, name).path)
    facts = read_video_facts([*paths, repo_root / 'tests' / 'data'])
    assert facts['one'] == VideoFacts(61.762)
    assert (facts['two'].duration, facts['two'].fps) == (2.0, 25.0)
    assert facts['three'].duration == 3.5
    assert facts['four'] == VideoFacts(4.0, 10.0)
    # A real video file of the tests.
    assert facts['index_brightness'].duration > 0
    assert facts['index_brightness'].fps > 0


def test_places_without_durations_are_named(tmp_path):
    for content in ('one\ntwo\n', 'video,x\na,1\n', json.dumps([1]), 'one'):
        with pytest.raises(UserError, match='file.txt: holds no durations'):
            read_video_facts([write(tmp_path, content).path])
    with pytest.raises(UserError, match='no such file or folder'):
        read_video_facts([tmp_path / 'nothing'])
