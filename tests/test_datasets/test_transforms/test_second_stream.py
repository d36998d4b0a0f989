"""Windows with the channels of two sources."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtal_mts.datasets import ArrayReader, VideoReadError
from mmtal_mts.datasets.transforms import AppendClip, LoadClip

T, SIDE = 20, 6


@pytest.fixture
def folder(tmp_path):
    """RGB frames of value k and flow of value 100 + k."""
    for name, first, channels in (('rgb', 0, 3), ('flow', 100, 2)):
        (tmp_path / name).mkdir()
        levels = np.arange(first, first + T, dtype=np.uint8)[:, None, None, None]
        frames = np.broadcast_to(levels, (T, SIDE, SIDE, channels))
        np.save(tmp_path / name / 'v.npy', frames)
    return tmp_path


def window(folder, **more):
    return dict(
        video_id='v',
        source=str(folder / 'rgb' / 'v.npy'),
        source_type='npy',
        modality='RGB',
        filename_tmpl='img_{:05}.jpg',
        start_index=0,
        source_fps=None,
        sample_fps=10.0,
        window_offset=0,
        clip_len=8,
        num_sampled_frames=T,
        duration=T / 10,
        **more,
    )


def load(folder, offset=0, **settings):
    results = LoadClip()(dict(window(folder), window_offset=offset))
    results = AppendClip('flow', str(folder), **settings)(results)
    return np.stack(results['imgs']), results


@pytest.mark.parametrize('offset, num_real', [(0, 8), (5, 8), (16, 4)])
def test_both_sources_show_the_same_window(folder, offset, num_real):
    clip, results = load(folder, offset)
    assert clip.shape == (8, SIDE, SIDE, 5) and clip.dtype == np.uint8
    levels = np.arange(offset, offset + num_real)
    assert clip[:num_real, 0, 0, :3].tolist() == [[k] * 3 for k in levels]
    assert clip[:num_real, 0, 0, 3:].tolist() == [[100 + k] * 2 for k in levels]
    assert (clip[num_real:] == 127).all()
    # What the window is does not change.
    assert results['modality'] == 'RGB' and results['source'].endswith('rgb/v.npy')


def test_a_second_source_of_another_length_is_refused(folder):
    np.save(folder / 'flow' / 'v.npy', np.zeros((5, SIDE, SIDE, 2), dtype=np.uint8))
    with pytest.raises(VideoReadError, match=r'flow/v\.npy: holds 5 frames'):
        load(folder, 12)


def test_the_record_of_the_extraction_tells_the_rate(folder):
    record = dict(layout='npy', modality='Flow', fps=5.0, num_frames=None)
    (folder / 'flow' / 'extraction.json').write_text(json.dumps(record))
    np.save(folder / 'flow' / 'v.npy', np.load(folder / 'flow' / 'v.npy')[:10])
    clip, _ = load(folder, 2)
    assert clip[:, 0, 0, 0].tolist() == list(range(2, 10))
    assert clip[:, 0, 0, 3].tolist() == [101, 101, 102, 102, 103, 103, 104, 104]
    # So many of every video, whatever its length.
    record.update(fps=None, num_frames=10)
    (folder / 'flow' / 'extraction.json').write_text(json.dumps(record))
    assert np.array_equal(load(folder, 2)[0], clip)


def test_what_does_not_fit_is_named(folder):
    np.save(folder / 'flow' / 'v.npy', np.zeros((T, 4, 4, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r'\(6, 6\).*flow/v\.npy are \(4, 4\)'):
        load(folder)
    (folder / 'flow' / 'v.npy').unlink()
    with pytest.raises(VideoReadError, match=r'flow/v\.npy: missing second source'):
        load(folder)
    with pytest.raises(ValueError, match='modality'):
        AppendClip('flow', modality='Depth')


def test_an_unreadable_video_stays_a_constant_window(folder):
    results = LoadClip()(window(folder, broken=True))
    results = AppendClip('flow', str(folder))(results)
    clip = np.stack(results['imgs'])
    assert clip.shape[-1] == 5 and (clip == 127).all()


def test_only_rgb_and_flow_can_be_made_of_an_open_video(folder):
    reader = ArrayReader(np.zeros((T, SIDE, SIDE, 3), np.uint8), 10)
    results = LoadClip()(dict(window(folder), source_type='video', reader=reader))
    with pytest.raises(ValueError, match='streams RGB and RGB cannot be made from a'):
        AppendClip('rgb', str(folder), modality='RGB')(results)
