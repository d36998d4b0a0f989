"""Raw outputs of a run in a file, and their fusion."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtal_mts.evaluation.metrics import RAW_FILE, RawOutputWriter, load_raw_outputs
from mmtal_mts.utils import UserError

KINDS = dict(
    cls='SoftmaxFocalLoss', loc='SegmentSmoothL1Loss', quality='QualityBCELoss'
)
HEAD = dict(type='BoundaryRefineHead', num_classes=1, channels=32)
HEAD |= {f'loss_{name}': dict(type=kind) for name, kind in KINDS.items()}
META = dict(classes=['action'], video_classes=['run', 'jump'])
SCORES = dict(labels=[1], scores=[0.5])


def stream(start=6.0, end=34.0, sure=0.0, num_logits=2, centre=20.0, **facts):
    """One location at frame 20 of a window sees an action from ``start`` to ``end``."""
    logits = torch.tensor([[sure, -sure, 0.0][:num_logits]])
    outputs = dict(
        points=torch.tensor([centre]),
        coarse_distances=torch.tensor([[20.0 - start, end - 20.0]]),
        coarse_logits=logits,
        refine_offsets=torch.zeros(1, 2),
        refine_logits=logits,
        quality_logits=torch.tensor([50.0]),
    )
    window = dict(video_id='v', window_offset=0, sample_fps=10.0, duration=4.0)
    window |= dict(broken=False, video_scores=SCORES, num_frames=40, outputs=outputs)
    return dict(classes=META, windows=[window | facts])


@pytest.fixture
def fuse(load_tool, tmp_path):
    """Fuses RGB and flow; gives the metrics and the one detection."""
    video = dict(duration=4.0, annotations=[dict(segment=[1.0, 3.0], label='jump')])
    ann, out = tmp_path / 'ann.json', tmp_path / 'fused.json'
    content = dict(database=dict(v=video), classes=META['video_classes'])
    ann.write_text(json.dumps(content))
    metric = dict(type='TALMetric', ann_file=str(ann), tiou_thresholds=(0.5, 0.95))

    def run(rgb, flow, weights=None, evaluator=metric, **test_cfg):
        test_cfg = dict(score_thr=0.0, nms=None, **test_cfg)
        evaluator = evaluator and dict(evaluator, dump_path=str(out))
        model = dict(refine_head=HEAD, test_cfg=test_cfg)
        folders = [tmp_path / name for name in ('rgb', 'flow')]
        for folder, raw in zip(folders, (rgb, flow), strict=True):
            folder.mkdir()
            torch.save(raw, folder / RAW_FILE)
        cfg = Config(dict(model=model, test_evaluator=evaluator))
        metrics = load_tool('fuse_streams.py').fuse_streams(cfg, folders, weights)
        (found,) = json.loads(out.read_text())['results']['v']
        return metrics, found

    return run


def test_average_in_closed_form_with_the_class_of_the_video(fuse):
    metrics, found = fuse(stream(6, 34, sure=2), stream(14, 26, sure=0))
    # Logits (2, -2) and (0, 0) are (1, -1); the classifier halves the score.
    assert found['label'] == 'jump'
    assert found['score'] == pytest.approx(0.5 / (1 + np.exp(-2.0)), abs=1e-6)
    assert found['segment'] == pytest.approx([1.0, 3.0])
    assert metrics == {'mAP@0.50': 1.0, 'mAP@0.95': 1.0, 'mAP': 1.0}


@pytest.mark.parametrize(
    ('weights', 'fusion', 'wanted'),
    [
        ((3, 1), 'raw', [0.7, 3.325]),
        (None, 'geometric', [0.8, 3.0]),
        ((1, 3), 'geometric', [(4 * 16**3) ** 0.25 / 10, (36 * 25**3) ** 0.25 / 10]),
    ],
)
def test_weights_and_geometric_mean_in_closed_form(fuse, weights, fusion, wanted):
    # The length of the video is that of the annotation.
    rgb, flow = stream(4, 36, duration=None), stream(16, 25, duration=None)
    _, found = fuse(rgb, flow, weights=weights, fusion=fusion)
    assert found['segment'] == pytest.approx(wanted)


def test_config_without_a_metric(fuse):
    with pytest.raises(UserError, match='no test_evaluator'):
        fuse(stream(), stream(), evaluator=None)


HERE = 'v at sampled frame 0 .duration 4, sample_fps 10, num_frames 40, points'


@pytest.mark.parametrize(
    ('other', 'here', 'there'),
    [
        (stream(num_frames=64), HERE, 'v at .* num_frames 64,'),
        (stream(sample_fps=12.5), HERE, 'sample_fps 12.5,'),
        (stream(duration=None), HERE, 'duration unknown,'),
        (stream(window_offset=16), HERE, 'v at sampled frame 16 '),
        (stream(video_id='w'), HERE, 'w at sampled frame 0 '),
        (stream(num_logits=3), r'refine_logits \(1, 2\)', r'refine_logits \(1, 3\)'),
        (
            stream() | dict(classes=META | dict(video_classes=['run'])),
            r"video_classes \['run', 'jump'\]",
            r"video_classes \['run'\]",
        ),
    ],
)
def test_differences_of_windows_are_named(fuse, other, here, there):
    with pytest.raises(UserError, match='Remedy: .*clip_len') as caught:
        fuse(stream(), other)
    assert re.search(f'--- .*rgb\n.*flow\n@@.*\n-.*{here}', str(caught.value))
    assert re.search(rf'\n\+.*{there}', str(caught.value))


def test_other_location_centres_are_refused(fuse):
    with pytest.raises(
        UserError, match='v at sampled frame 0: .*other location centres'
    ):
        fuse(stream(), stream(centre=21.0))


def test_windows_are_ordered_and_written_as_they_are(tmp_path):
    writer = RawOutputWriter(str(tmp_path / 'new'))
    writer.dataset_meta = dict(classes=('a', 'b'), other=3)
    # Features have offsets with a fraction, and ids may hold anything.
    keys = [('a/b', 0), ('../up', 12.8), ('a%2Fb', 0), ('a', 128), ('a', 64), ('a', 64)]
    for number, (video_id, offset) in enumerate(keys):
        (window,) = stream(start=number)['windows']
        outputs = dict(window['outputs'], num_frames=window['num_frames'])
        window |= dict(video_id=video_id, window_offset=offset, raw_outputs=outputs)
        writer.process(None, [window])
    with pytest.raises(FileNotFoundError, match=f'{RAW_FILE} is missing.*--dump-raw'):
        load_raw_outputs(writer.folder)
    assert writer.evaluate(len(keys)) == {}
    # Everything is in one file.
    assert [p.name for p in tmp_path.rglob('*') if p.is_file()] == [RAW_FILE]
    raw = load_raw_outputs(writer.folder)
    assert raw['classes'] == dict(classes=['a', 'b'])
    found = {(w['video_id'], w['window_offset']): w for w in raw['windows']}
    assert list(found) == sorted(set(keys)) and len(raw['windows']) == len(found)
    for key, window in found.items():
        # Of the window that came twice, the first counts.
        wanted = stream(keys.index(key), video_id=key[0], window_offset=key[1])
        outputs, (expected,) = window.pop('outputs'), wanted['windows']
        for name, value in expected.pop('outputs').items():
            torch.testing.assert_close(outputs[name], value, rtol=0, atol=0)
        assert window == expected


def test_damaged_and_foreign_files_are_named_and_no_pickle_is_read(tmp_path):
    path = tmp_path / RAW_FILE
    torch.save(stream(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=RAW_FILE):
        load_raw_outputs(tmp_path)
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ValueError, match=f'{RAW_FILE} was not written by .*--dump-raw'):
        load_raw_outputs(tmp_path)
    path.write_bytes(pickle.dumps(pytest.fail, protocol=2))
    with pytest.raises(ValueError, match=RAW_FILE):
        load_raw_outputs(tmp_path)


def test_the_writer_needs_raw_outputs(tmp_path):
    with pytest.raises(ValueError, match='model.keep_raw=True'):
        RawOutputWriter(str(tmp_path)).process(None, [dict(video_id='v')])
