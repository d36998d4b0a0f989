from __future__ import annotations

import pytest

from mmtal_mts.datasets.sources import SourceFinder


@pytest.fixture
def folder(tmp_path):
    for name in ('a.mp4', 'b.AVI', 'b.mkv', 'c.json', 'v_d.webm', 'e.v2.mp4', 'x.npy'):
        (tmp_path / name).touch()
    (tmp_path / 'frames').mkdir()
    return tmp_path


def test_template_other_extension_and_file(folder):
    finder = SourceFinder(str(folder), 'video')
    assert finder.find('a') == str(folder / 'a.mp4')
    assert finder.find('b') == str(folder / 'b.AVI')
    assert finder.find('e.v2') == str(folder / 'e.v2.mp4')
    assert finder.find('a', file='b.mkv') == str(folder / 'b.mkv')
    # Neither another kind of file nor another video than the named one.
    assert finder.find('c') is None
    assert finder.find('a', file='none.mp4') is None
    assert finder.expected('c') == str(folder / 'c.mp4')


def test_own_template(folder):
    finder = SourceFinder(str(folder), 'video', 'v_{video_id}.mp4')
    assert finder.find('d') == str(folder / 'v_d.webm')


def test_frames_and_arrays(folder):
    assert SourceFinder(str(folder), 'frames').find('frames') == str(folder / 'frames')
    assert SourceFinder(str(folder), 'frames').find('a.mp4') is None
    assert SourceFinder(str(folder), 'npy').find('x') == str(folder / 'x.npy')


def test_the_annotated_video_file_does_not_hide_what_was_extracted_from_it(folder):
    finder = SourceFinder(str(folder), 'npy')
    assert finder.find('x', file='original_of_x.avi') == str(folder / 'x.npy')
    assert finder.find('y', file='x.npy') == str(folder / 'x.npy')
    assert finder.find('x', file='other.npy') is None
    finder = SourceFinder(str(folder), 'frames')
    assert finder.find('frames', file='frames.mp4') == str(folder / 'frames')
    assert finder.find('y', file='frames') == str(folder / 'frames')


def test_missing_folder_finds_nothing():
    assert SourceFinder('/no/such/folder', 'video').find('a') is None


def test_impossible_arguments():
    with pytest.raises(ValueError, match='source_type'):
        SourceFinder('', 'video2')
    with pytest.raises(ValueError, match='file_tmpl'):
        SourceFinder('', 'video', 'x.mp4')
