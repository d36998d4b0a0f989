"""Raw outputs of windows on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtal_mts.evaluation.metrics.raw_outputs import (
    RawOutputFolder,
    RawWindow,
    WindowKey,
    is_raw_folder,
    write_index,
    write_window,
)

FACTS = dict(
    num_frames=32, sample_fps=10.0, duration=7.5, broken=False, video_scores=None
)


def window(num_locations=5, num_logits=4, **facts):
    rng = np.random.default_rng(0)
    shapes = dict(
        points=(num_locations,),
        coarse_distances=(num_locations, 2),
        coarse_logits=(num_locations, num_logits),
        refine_offsets=(num_locations, 2),
        refine_logits=(num_locations, num_logits),
        quality_logits=(num_locations,),
    )
    outputs = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return RawWindow(outputs, dict(FACTS, **facts))


@pytest.mark.parametrize(
    'video_id', ['v', 'a/b', '../up', 'two words @ 1', 'ü%20', '.hidden', 'CON']
)
def test_round_trip_with_any_id(tmp_path, video_id):
    scores = dict(labels=[3, 1], scores=[0.5, 0.25])
    key, written = WindowKey(video_id, 1280), window(video_scores=scores)
    folder = tmp_path / 'run' / 'raw'
    write_window(folder, key, written)
    assert not is_raw_folder(folder)
    write_index(folder, [key, key], dict(classes=('a', 'b')))
    raw = RawOutputFolder(folder)
    assert is_raw_folder(folder)
    assert raw.keys == [key] and raw.dataset_meta == dict(classes=['a', 'b'])
    read = raw.load(key)
    assert read.facts == written.facts
    for name, value in written.outputs.items():
        assert read.outputs[name].dtype == np.float32
        np.testing.assert_array_equal(read.outputs[name], value)
    # Everything is in the folder, and nothing unfinished.
    assert (
        sorted(p.parent for p in tmp_path.rglob('*.*') if p.is_file()) == [folder] * 2
    )
    assert not list(tmp_path.rglob('*.partial'))


def test_windows_are_ordered_and_ids_do_not_collide(tmp_path):
    keys = [WindowKey('a/b', 0), WindowKey('a%2Fb', 0), WindowKey('a', 128)]
    keys.append(WindowKey('a', 64))
    for i, key in enumerate(keys):
        write_window(tmp_path, key, window(duration=float(i)))
    write_index(tmp_path, keys, {})
    raw = RawOutputFolder(tmp_path)
    assert raw.keys == sorted(keys)
    assert [raw.load(key).facts['duration'] for key in keys] == [0, 1, 2, 3]


def test_unfinished_damaged_and_inconsistent_folders(tmp_path):
    key = WindowKey('v', 0)
    write_window(tmp_path, key, window())
    with pytest.raises(FileNotFoundError, match='index.json is missing.*--dump-raw'):
        RawOutputFolder(tmp_path)
    write_index(tmp_path, [key, WindowKey('gone', 64)], {})
    raw = RawOutputFolder(tmp_path)
    with pytest.raises(ValueError, match='window gone at sampled frame 64 is listed'):
        raw.load(WindowKey('gone', 64))
    path = tmp_path / 'v@0000000.npz'
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='window v at sampled frame 0 .*read'):
        raw.load(key)
    mixed = window()
    mixed.outputs['quality_logits'] = np.zeros(3)
    write_window(tmp_path, key, mixed)
    with pytest.raises(ValueError, match='do not belong together'):
        raw.load(key)
    (tmp_path / 'index.json').write_text(json.dumps(dict(windows=3)))
    with pytest.raises(ValueError, match='index.json: not a list of windows'):
        RawOutputFolder(tmp_path)


def test_no_pickle_is_ever_read(tmp_path):
    key = WindowKey('v', 0)
    write_window(tmp_path, key, window())
    write_index(tmp_path, [key], {})
    arrays = dict(window().outputs, facts=np.array({'a': 1}, dtype=object))
    np.savez(tmp_path / 'v@0000000.npz', **arrays)
    with pytest.raises(ValueError, match='allow_pickle=False'):
        RawOutputFolder(tmp_path).load(key)
