"""Decoding, fusion of two streams and soft-NMS to AFSD's final detections."""

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from tiny_models import golden

from mmtal_mts.evaluation import merge_windows
from mmtal_mts.models import BoundaryRefineHead, predict_streams
from mmtal_mts.models.dense_heads import complete_test_cfg
from mmtal_mts.structures import Segments

from .reference import OUTPUTS, as_ours

THUMOS, ANET = golden('f_decode.npz'), golden('f_decode_anet.npz')
STREAMS = dict(rgb=['rgb'], fusion=['rgb', 'flow'])
HEAD = BoundaryRefineHead(20, 8, num_groups=2)  # decodes; its weights are not used


def raw_outputs(data, prefix, num_frames):
    found = {
        ours: torch.from_numpy(as_ours(name, data[f'{prefix}/{name}']))
        for name, ours in OUTPUTS.items()
    }
    found['quality_logits'] = found['quality_logits'][..., 0]
    return dict(found, points=torch.from_numpy(data['priors'])[:, 0] * num_frames)


def assert_same_detections(found, expected, atol):
    """Compares rows (start, end, score); the original loses the last live one."""
    assert len(found) - len(expected) in (0, 1)
    found = found[np.argsort(-found[:, 2], kind='stable')][: len(expected)]
    rows = (x[np.lexsort(np.round(x, 3).T)] for x in (found, expected))
    np.testing.assert_allclose(*rows, rtol=0, atol=atol)


def predictions(names, data, num_frames, test_cfg, **metainfo):
    """Detections of the streams of one clip, in seconds of the video."""
    streams = [raw_outputs(data, name, num_frames) for name in names]
    samples = [ActionDataSample(metainfo=metainfo)]
    (sample,) = predict_streams(HEAD, streams, num_frames, samples, test_cfg)
    found = sample.pred_instances
    return Segments(found.segments, found.labels, found.scores), sample.test_cfg


def settings(**changes):
    nms = dict(changes.pop('nms'), max_keep=5000)
    return complete_test_cfg(dict(changes, nms=nms, clamp=False))


def test_decoded_windows():
    for i in range(3):
        outputs = raw_outputs(THUMOS, f'rgb{i}', 256)
        segments, scores = HEAD.decode(outputs, 256)
        expected = THUMOS[f'decoded{i}/segments']
        np.testing.assert_allclose(segments[0], expected, rtol=0, atol=1e-4)
        expected = THUMOS[f'decoded{i}/scores'][1:].T
        np.testing.assert_allclose(scores[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('case', ['rgb_sigma0.5', 'rgb_sigma0.3', 'fusion_sigma0.5'])
def test_final_detections_of_three_windows(case):
    streams, sigma = case.split('_sigma')
    test_cfg = settings(score_thr=0.01, nms=dict(sigma=float(sigma)))
    facts, windows = dict(sample_fps=float(THUMOS['sample_fps'])), []
    for i, offset in enumerate(THUMOS['offsets'].tolist()):
        names = [f'{name}{i}' for name in STREAMS[streams]]
        facts['window_offset'] = offset
        found, test_cfg = predictions(names, THUMOS, 256, test_cfg, **facts)
        windows.append(found)
    merged = merge_windows(windows, None, test_cfg)
    expected = THUMOS[f'det/{case}']
    for label in range(20):
        ours = merged[merged.labels == label]
        ours = np.column_stack([ours.segments, ours.scores])
        theirs = expected[expected[:, 0] == label + 1][:, 1:]
        assert_same_detections(ours, theirs, 1e-5)


@pytest.mark.parametrize(
    'case, score_thr, min_score', [('rgb', 1e-9, 1e-9), ('fusion', 0.0, 1e-18)]
)
def test_final_detections_of_activitynet(case, score_thr, min_score):
    nms = dict(sigma=float(ANET['sigma']), min_score=min_score)
    test_cfg = settings(score_thr=score_thr, nms=nms, fusion='geometric')
    facts = dict(window_offset=0, sample_fps=float(ANET['fps']))
    facts['video_scores'] = dict(labels=[7], scores=[float(ANET['cls_score'])])
    found, test_cfg = predictions(STREAMS[case], ANET, 768, test_cfg, **facts)
    assert set(found.labels.tolist()) == {7}
    merged = merge_windows([found], None, test_cfg)
    # The original cuts to the video, and drops what is empty, only after soft-NMS.
    segments = np.clip(merged.segments, 0, float(ANET['duration']))
    ours = np.column_stack([segments, merged.scores])
    ours = ours[segments[:, 1] > segments[:, 0]]
    assert_same_detections(ours, ANET[f'det/{case}'], 1e-5)
