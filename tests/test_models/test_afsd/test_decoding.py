"""Decoding, fusion of two streams and soft-NMS to AFSD's final detections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtal_mts.evaluation.functional import merge_windows
from mmtal_mts.models import CoarseToFineDecoder
from mmtal_mts.structures import Segments

from .reference import background_last, load_arrays

THUMOS = load_arrays('f_decode.npz')
ANET = load_arrays('f_decode_anet.npz')


def raw_outputs(golden, prefix, points):
    def tensor(name):
        return torch.from_numpy(golden[f'{prefix}/{name}'])

    return dict(
        points=points,
        coarse_distances=tensor('loc'),
        coarse_logits=torch.from_numpy(background_last(golden[f'{prefix}/conf'])),
        refine_offsets=tensor('prop_loc'),
        refine_logits=torch.from_numpy(background_last(golden[f'{prefix}/prop_conf'])),
        quality_logits=tensor('center')[..., 0],
    )


def points(golden, num_frames):
    priors = torch.from_numpy(golden['priors'])
    return priors[:, 0] * num_frames


def assert_same_detections(found, expected, atol):
    """Compares rows (start, end, score); the original loses the last live one."""
    assert len(found) - len(expected) in (0, 1)
    found = found[np.argsort(-found[:, 2], kind='stable')][: len(expected)]
    rows = []
    for detections in (found, expected):
        rounded = np.round(detections, 3)
        rows.append(detections[np.lexsort(rounded.T)])
    np.testing.assert_allclose(*rows, rtol=0, atol=atol)


def test_decoded_windows():
    decoder = CoarseToFineDecoder(score_thr=0.01)
    for i in range(3):
        outputs = raw_outputs(THUMOS, f'rgb{i}', points(THUMOS, 256))
        segments, scores = decoder.decode(outputs, 256)
        expected = THUMOS[f'decoded{i}/segments']
        np.testing.assert_allclose(segments[0], expected, rtol=0, atol=1e-4)
        expected = THUMOS[f'decoded{i}/scores'][1:].T
        np.testing.assert_allclose(scores[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('case', ['rgb_sigma0.5', 'rgb_sigma0.3', 'fusion_sigma0.5'])
def test_final_detections_of_three_windows(case):
    streams, sigma = case.split('_sigma')
    names = ['rgb'] if streams == 'rgb' else ['rgb', 'flow']
    decoder = CoarseToFineDecoder(score_thr=0.01)
    windows = []
    for i, offset in enumerate(THUMOS['offsets'].tolist()):
        outputs = [
            raw_outputs(THUMOS, f'{name}{i}', points(THUMOS, 256)) for name in names
        ]
        segments, scores = decoder.decode_streams(outputs, 256)
        found = decoder.to_instances(
            segments[0], scores[0], offset, float(THUMOS['sample_fps'])
        )
        windows.append(Segments(found.segments, found.labels, found.scores))
    nms = dict(sigma=float(sigma), min_score=0.001, max_keep=5000)
    merged = merge_windows(windows, None, dict(nms=nms, clamp=False))
    expected = THUMOS[f'det/{case}']
    for label in range(20):
        ours = merged[merged.labels == label]
        ours = np.column_stack([ours.segments, ours.scores])
        theirs = expected[expected[:, 0] == label + 1][:, 1:]
        assert_same_detections(ours, theirs, 1e-5)


@pytest.mark.parametrize('case', ['rgb', 'fusion'])
def test_final_detections_of_activitynet(case):
    fps, duration = float(ANET['fps']), float(ANET['duration'])
    score_thr = {'rgb': 1e-9, 'fusion': 0.0}[case]
    min_score = {'rgb': 1e-9, 'fusion': 1e-18}[case]
    decoder = CoarseToFineDecoder(score_thr, fusion='geometric')
    streams = [
        raw_outputs(ANET, name, points(ANET, 768))
        for name in {'rgb': ['rgb'], 'fusion': ['rgb', 'flow']}[case]
    ]
    segments, scores = decoder.decode_streams(streams, 768)
    video_scores = dict(labels=[7], scores=[float(ANET['cls_score'])])
    found = decoder.to_instances(segments[0], scores[0], 0, fps, video_scores)
    assert set(found.labels.tolist()) == {7}
    nms = dict(sigma=float(ANET['sigma']), min_score=min_score, max_keep=5000)
    windows = [Segments(found.segments, found.labels, found.scores)]
    merged = merge_windows(windows, None, dict(nms=nms, clamp=False))
    # The original cuts to the video, and drops what is empty, only after soft-NMS.
    segments = np.clip(merged.segments, 0, duration)
    ours = np.column_stack([segments, merged.scores])
    ours = ours[segments[:, 1] > segments[:, 0]]
    assert_same_detections(ours, ANET[f'det/{case}'], 1e-5)


def test_streams_are_averaged_before_or_after_decoding():
    streams = [raw_outputs(ANET, name, points(ANET, 768)) for name in ('rgb', 'flow')]
    alone = [CoarseToFineDecoder().decode(stream, 768)[0] for stream in streams]
    geometric, _ = CoarseToFineDecoder(fusion='geometric').decode_streams(streams, 768)
    torch.testing.assert_close(geometric, (alone[0] * alone[1]).sqrt())
    raw, _ = CoarseToFineDecoder().decode_streams(streams[:1] * 2, 768)
    torch.testing.assert_close(raw, alone[0])
    with pytest.raises(ValueError, match='fusion'):
        CoarseToFineDecoder(fusion='max')


def test_video_scores_turn_detections_into_classes():
    decoder = CoarseToFineDecoder(score_thr=0.1)
    segments, scores = (
        torch.tensor([[0.0, 4.0], [2.0, 6.0]]),
        torch.tensor([[0.5], [0.2]]),
    )
    video_scores = dict(labels=[3, 9], scores=[0.8, 0.1])
    found = decoder.to_instances(segments, scores, 10, 2.0, video_scores)
    assert found.labels.tolist() == [3, 3, 9, 9]
    assert found.segments.tolist() == [[5, 7], [6, 8]] * 2
    torch.testing.assert_close(found.scores, torch.tensor([0.4, 0.16, 0.05, 0.02]))
    with pytest.raises(ValueError, match='num_classes=2'):
        decoder.to_instances(segments, scores.repeat(1, 2), 0, 1.0, video_scores)
