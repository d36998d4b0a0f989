from __future__ import annotations

import pytest

from mmtal_mts.apis.batch_inference import find_videos
from mmtal_mts.utils import UserError


@pytest.fixture
def folder(tmp_path):
    for name in (
        'a.mp4',
        'b.AVI',
        'notes.md',
        '.hidden.mp4',
        'sub/c d.mkv',
        'ü[1].mp4',
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'')
    return tmp_path


def test_folder_is_searched_for_videos(folder):
    assert sorted(list(find_videos([folder]))) == ['a', 'b', 'c d', 'ü[1]']


def test_file_pattern_and_list(folder):
    (folder / 'list.txt').write_text('# mine\n\na.mp4\nsub\n*.AVI\ngone.mp4\n')
    videos = find_videos([folder / 'list.txt'])
    # A missing file of a list is reported later, with the others done.
    assert list(videos) == ['a', 'c d', 'b', 'gone']
    assert videos['c d'] == str(folder / 'sub/c d.mkv')
    assert list(find_videos([folder / 'ü[1].mp4'])) == ['ü[1]']
    assert list(find_videos([f'{folder}/**/*.mkv', folder / 'a.mp4'])) == ['c d', 'a']


def test_results_are_no_inputs(folder):
    before = list(find_videos([folder, f'{folder}/*.mp4']))
    (folder / 'a.annotated.mp4').write_bytes(b'')
    (folder / 'b.preview.mp4').write_bytes(b'')
    assert list(find_videos([folder, f'{folder}/*.mp4'])) == before
    assert list(find_videos([folder / 'a.annotated.mp4'])) == ['a.annotated']


def test_each_file_once(folder):
    assert list(find_videos([folder / 'a.mp4', folder, folder / 'a.mp4']))[0] == 'a'
    assert len(find_videos([folder / 'a.mp4', folder])) == 4


def test_names_are_unique(tmp_path):
    paths = [
        'x/v.mp4',
        'x/v.avi',
        'y/v.avi',
        'x/V.mkv',
        'x/detections.mp4',
        'p/x/w.mp4',
        'q/x/w.mp4',
    ]
    for name in paths:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    videos = find_videos([tmp_path / name for name in paths], ['detections'])
    assert list(videos) == [
        'v.mp4',
        'x_v.avi',
        'y_v.avi',
        'V.mkv',
        'detections.mp4',
        'w.mp4-2',
        'w.mp4-3',
    ]


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('gone.mp4', 'does not exist'),
        ('*.webm', 'matches no file'),
        ('empty', 'holds no video'),
        ('empty.txt', 'names no video'),
        ('nested.txt', 'names another list'),
        ('binary.txt', 'is not UTF-8'),
    ],
)
def test_inputs_that_stand_for_nothing(tmp_path, name, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.txt').write_text('# nothing\n')
    (tmp_path / 'nested.txt').write_text('empty.txt\n')
    (tmp_path / 'binary.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match=message):
        find_videos([tmp_path / name])
