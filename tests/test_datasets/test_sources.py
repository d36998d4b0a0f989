from __future__ import annotations

import pytest

from mmtal_mts.datasets.sources import SourceFinder


@pytest.fixture
def folder(tmp_path):
    for name in ('a.mp4', 'b.AVI', 'b.mkv', 'c.json', 'v_d.webm', 'e.v2.mp4', 'x.npy'):
        (tmp_path / name).touch()
    (tmp_path / 'frames').mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ('kind', 'video_id', 'file', 'found'),
    [
        ('video', 'a', None, 'a.mp4'),
        ('video', 'b', None, 'b.AVI'),
        ('video', 'e.v2', None, 'e.v2.mp4'),
        ('video', 'a', 'b.mkv', 'b.mkv'),
        # Neither another kind of file nor another video than the named one.
        ('video', 'c', None, None),
        ('video', 'a', 'none.mp4', None),
        ('frames', 'frames', None, 'frames'),
        ('frames', 'a.mp4', None, None),
        ('npy', 'x', None, 'x.npy'),
        # The annotated video file does not hide what was extracted from it.
        ('npy', 'x', 'original_of_x.avi', 'x.npy'),
        ('npy', 'y', 'x.npy', 'x.npy'),
        ('npy', 'x', 'other.npy', None),
        ('frames', 'frames', 'frames.mp4', 'frames'),
        ('frames', 'y', 'frames', 'frames'),
    ],
)
def test_what_is_found(folder, kind, video_id, file, found):
    path = SourceFinder(str(folder), kind).find(video_id, file)
    assert path == (found and str(folder / found))


def test_where_a_source_should_be_and_impossible_arguments(folder):
    assert SourceFinder(str(folder), 'video').expected('c') == str(folder / 'c.mp4')
    finder = SourceFinder(str(folder), 'video', 'v_{video_id}.mp4')
    assert finder.find('d') == str(folder / 'v_d.webm')
    assert SourceFinder('/no/such/folder', 'video').find('a') is None
    with pytest.raises(ValueError, match='source_type'):
        SourceFinder('', 'video2')
    with pytest.raises(ValueError, match='file_tmpl'):
        SourceFinder('', 'video', 'x.mp4')
