"""Features are means of the backbone's maps, and a folder of them is gone on with."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.datasets.windows import video_windows
from mmtal_mts.utils import UserError


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('misc/extract_features.py')


@pytest.fixture
def videos(tmp_path, make_video):
    (tmp_path / 'videos').mkdir()
    make_video(tmp_path / 'videos' / 'a.mp4', 102, fps=30)  # 34 sampled frames
    make_video(tmp_path / 'videos' / 'b.mp4', 21, fps=30)  # 7
    return tmp_path / 'videos'


@pytest.fixture
def extractor(tool, tiny_model, tmp_path, monkeypatch):
    """Builds an extractor by options of the command line."""

    def build(options, weights=tiny_model.weights, **changes):
        cfg = Config.fromfile(tiny_model.config)
        cfg.merge_from_dict(changes)
        places = tiny_model.config, str(tmp_path / 'videos'), str(tmp_path / 'features')
        options = f'--batch-size 3 --device cpu {options}'.split()
        monkeypatch.setattr(sys, 'argv', ['', *places, '--weights', weights, *options])
        return tool.FeatureExtractor(cfg, tool.parse_args())

    return build


def test_clips_by_hand(tool):
    cases = (8, 4, 2), (7, 4, 2), (4, 4, 2), (3, 4, 1), (6, 4, 4, True), (9, 2, 3)
    wanted = [[0, 2, 4], [0, 2], [0], [0], [0, 4], [0, 3, 6]]
    assert [tool.clip_offsets(*case) for case in cases] == wanted


def test_rows_are_means_of_the_maps_of_snippets(extractor, videos):
    extract = extractor('--window 8 --stride 4 --maps 0 1')
    wanted = dict(channels=112, stride=4, fps=10)
    assert wanted.items() <= extract.settings.items()
    found = extract(str(videos / 'a.mp4'))
    assert found.shape == ((34 - 8) // 4 + 1, 112) and found.dtype == np.float32
    reader = VideoReader(videos / 'a.mp4')
    windows = video_windows(reader, 'a', clip_len=8, window_stride=4)
    third = extract.pipeline(list(windows)[2])['inputs']
    with torch.no_grad():
        maps = extract.backbone(third[None].float() / 127.5 - 1)
    expected = torch.cat([x.mean((2, 3, 4)) for x in maps], dim=1)[0]
    np.testing.assert_allclose(found[2], expected, rtol=1e-4, atol=1e-5)
    # Shorter than a snippet: one row.
    assert extract(str(videos / 'b.mp4')).shape == (1, 112)
    # Dense, rows are positions: 4 + 4 of whole clips, one for two frames that are left.
    extract = extractor('--window 16 --dense --maps 0 1')
    assert extract.settings['stride'] == 4
    shapes = [extract(str(videos / name)).shape for name in ('a.mp4', 'b.mp4')]
    assert shapes == [(9, 112), (1, 112)]


def test_folder_goes_on_and_reports_failures(tool, extractor, videos, tmp_path, capsys):
    out = tmp_path / 'features'
    (videos / 'c.mp4').write_bytes(b'no video')
    extract = extractor('--window 8 --stride 4')
    report = tool.extract_features(extract)
    assert report.done == ['a', 'b'] and 'c.mp4' in next(iter(report.failed))
    assert 'a: 7 rows' in capsys.readouterr().out
    first = np.load(out / 'a.npy')
    (out / 'b.npy').write_bytes(b'torn')
    report = tool.extract_features(extract)
    assert (report.skipped, report.done) == (['a'], ['b'])
    assert np.load(out / 'b.npy').shape == (1, 64)
    np.testing.assert_array_equal(np.load(out / 'a.npy'), first)
    record = json.loads((out / 'features.json').read_text())
    assert (record['window'], record['stride'], record['channels']) == (8, 4, 64)
    ann = dict(database={'../d': dict(file='b.mp4', duration=0.7, annotations=[])})
    (tmp_path / 'ann.json').write_text(json.dumps(dict(ann, classes=['x'])))
    extract.args.ann = str(tmp_path / 'ann.json')
    assert 'leads out of' in str(tool.extract_features(extract).failed)
    assert not (tmp_path / 'd.npy').exists()
    with pytest.raises(UserError, match='stride was 4 and is now 2'):
        tool.extract_features(extractor('--window 8 --stride 2'))


def test_what_cannot_extract_is_refused_at_the_start(extractor):
    with pytest.raises(UserError, match='has no maps .5.'):
        extractor('--maps 5')
    with pytest.raises(UserError, match='window=0'):
        extractor('--window 0')
    with pytest.raises(UserError, match='random weights. Remedy: --weights'):
        extractor('', weights='')
    with pytest.raises(UserError, match='has no backbone of its own'):
        extractor('', model=dict(_delete_=True, type='TwoStreamTALMTS'))
