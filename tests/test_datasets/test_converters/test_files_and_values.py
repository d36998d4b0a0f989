"""Reading foreign files: text, tables, XML, times, names, class lists, durations."""

from __future__ import annotations

import gzip
from operator import attrgetter, methodcaller

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
    return lambda content: SourceFile(write({'file.txt': content}))


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


TEXT, JSON, XML = map(attrgetter, ('text', 'json', 'xml'))
ROWS = methodcaller('rows')
DOCTYPES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaa">]><x>&a;</x>',
    '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
)
# Bytes for "<!DOCTYPE" that are not ASCII; the declaration has no say.
EBCDIC = b'<?xml version="1.0" encoding="cp037"?>'
EBCDIC += DOCTYPES[0].split('?>')[1].encode('cp037')
GZIP = gzip.compress(b'video,start,end,label\na,1,2,run\n', mtime=0)


def durations(source):
    return read_video_facts([source.path])


@pytest.mark.parametrize(
    ('content', 'read', 'message'),
    [
        ('Übung'.encode('latin-1'), TEXT, 'not a text file.*Save it as UTF-8'),
        (GZIP[:-9], TEXT, 'damaged gzip file'),
        # Only 100 bytes are allowed here.
        (gzip.compress(b'a' * 101, mtime=0), TEXT, 'uncompressed larger'),
        ('{"b": {"c": 2, "c": 3}}', JSON, r'1 keys \(c\) stand more than once'),
        ('{"a": ', JSON, 'not valid JSON'),
        ('[' * 100_000, JSON, 'not valid JSON'),
        ('a,b\n1,2,3', ROWS, '.*:2: 3 values for 2 columns'),
        ('a,a\n1,2', ROWS, r".*columns \['a'\] appear twice"),
        ('<x>', XML, 'not valid XML'),
        *((text, XML, 'has a DOCTYPE') for text in DOCTYPES),
        *((text.encode('utf-16'), XML, 'has a DOCTYPE') for text in DOCTYPES),
        (EBCDIC, XML, ''),
        ('a\nb\na', read_class_names, r"names \['a'\] appear twice"),
        ('', read_class_names, 'no list of classes'),
        *((text, durations, 'holds no durations') for text in ('one\ntwo\n', 'one')),
        ('video,x\na,1\n', durations, 'holds no durations'),
        ([1], durations, 'holds no durations'),
    ],
)
def test_unusable_files_are_refused(source, monkeypatch, content, read, message):
    if read is TEXT:
        monkeypatch.setattr(source_file, '_MAX_BYTES', 100)
    with pytest.raises(UserError, match=f'file.txt.*{message}'):
        read(source(content))


@pytest.mark.parametrize('separator', [',', ';', '\t'])
def test_tables_know_line_and_missing_values(source, separator):
    lines = [['a', 'b', 'c'], ['1', '"x, y"', '2'], ['', '', ''], ['3', '4']]
    (_, first), (where, second) = source(
        '\n'.join(separator.join(line) for line in lines)
    ).rows()
    assert first == {'a': '1', 'b': 'x, y', 'c': '2'}
    assert second == {'a': '3', 'b': '4', 'c': ''}
    assert where.endswith('file.txt:4')


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
    with pytest.raises(UserError, match='no such file or folder'):
        read_video_facts([tmp_path / 'nothing'])
