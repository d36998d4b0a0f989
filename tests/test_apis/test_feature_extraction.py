from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtal_mts.apis.feature_extraction import (
    FeatureExtractor,
    clips_from,
    extract_features,
)
from mmtal_mts.utils import UserError


@pytest.fixture
def videos(tmp_path, make_video):
    folder = tmp_path / 'videos'
    folder.mkdir()
    make_video(folder / 'a.mp4', 102, fps=30)  # 34 sampled frames
    make_video(folder / 'b.mp4', 21, fps=30)  # 7
    return folder


@pytest.fixture
def extractor(tiny_model):
    def build(**settings):
        cfg = Config.fromfile(tiny_model.config)
        return FeatureExtractor(cfg, tiny_model.weights, batch_size=3, **settings)

    return build


def test_clips_by_hand():
    def cut(count, length, hop):
        return [(o, list(c)) for o, c in clips_from(range(count), length, hop)]

    assert cut(7, 4, 2) == [(0, [0, 1, 2, 3]), (2, [2, 3, 4, 5]), (4, [4, 5, 6])]
    assert cut(4, 4, 2) == [(0, [0, 1, 2, 3])]
    assert cut(3, 4, 4) == [(0, [0, 1, 2])]
    assert cut(6, 4, 4) == [(0, [0, 1, 2, 3]), (4, [4, 5])]
    assert cut(0, 4, 4) == []
    with pytest.raises(ValueError, match='stride=5 must not be larger than window=4'):
        cut(1, 4, 5)


def test_rows_are_means_of_the_maps_of_snippets(extractor, videos):
    extract = extractor(window=8, stride=4, maps=(0, 1))
    assert (extract.channels, extract.row_stride, extract.fps) == (112, 4, 10)
    found = extract(str(videos / 'a.mp4'))
    assert found.shape == ((34 - 8) // 4 + 1, 112) and found.dtype == np.float32
    packed = extract.pipeline.windows(
        extract.pipeline.sampler(_stream(videos / 'a.mp4')), 'a'
    )
    third = [window['inputs'] for window in packed][2]
    with torch.no_grad():
        maps = extract.backbone(third[None].float() / 127.5 - 1)
    expected = torch.cat([x.mean((2, 3, 4)) for x in maps], dim=1)[0]
    np.testing.assert_allclose(found[2], expected, rtol=1e-4, atol=1e-5)
    # Shorter than a snippet: one row.
    assert extract(str(videos / 'b.mp4')).shape == (1, 112)


def _stream(path):
    from mmtal_mts.datasets.video_stream import VideoStream

    return VideoStream(str(path))


def test_dense_rows_are_positions_of_clips(extractor, videos):
    extract = extractor(window=16, dense=True, maps=(0, 1))
    assert extract.row_stride == 4
    # 34 frames: 4 + 4 rows of whole clips, and none of the two frames left but one.
    assert extract(str(videos / 'a.mp4')).shape == (9, 112)
    assert extract(str(videos / 'b.mp4')).shape == (1, 112)


def test_folder_goes_on_and_reports_failures(extractor, videos, tmp_path, capsys):
    out = tmp_path / 'features'
    (videos / 'c.mp4').write_bytes(b'no video')
    extract = extractor(window=8, stride=4)
    report = extract_features(extract, str(videos), out)
    assert report.done == ['a', 'b'] and 'c.mp4' in next(iter(report.failed))
    assert 'a: 7 rows' in capsys.readouterr().out
    first = np.load(out / 'a.npy')
    (out / 'b.npy').write_bytes(b'torn')
    report = extract_features(extract, str(videos), out)
    assert (report.skipped, report.done) == (['a'], ['b'])
    assert np.load(out / 'b.npy').shape == (1, 64)
    np.testing.assert_array_equal(np.load(out / 'a.npy'), first)
    record = json.loads((out / 'features.json').read_text())
    assert (record['window'], record['stride'], record['channels']) == (8, 4, 64)
    with pytest.raises(UserError, match='stride was 4 and is now 2'):
        extract_features(extractor(window=8, stride=2), str(videos), out)


def test_what_cannot_extract_is_told_at_the_start(extractor, tiny_model):
    with pytest.raises(UserError, match='has no maps .5.'):
        extractor(maps=(5,))
    with pytest.raises(UserError, match='window=0'):
        extractor(window=0)
    cfg = Config.fromfile(tiny_model.config)
    with pytest.raises(UserError, match='random weights. Remedy: --weights'):
        FeatureExtractor(cfg)
    cfg.model = dict(type='TwoStreamTALMTS')
    with pytest.raises(UserError, match='has no backbone of its own'):
        FeatureExtractor(cfg, tiny_model.weights)
