"""The baselines do the same work as what they are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtal_mts.benchmarks.boundary_pooling import (
    boundary_pooling_cases,
    pool_segment_by_segment,
)
from mmtal_mts.benchmarks.data_loading import data_cases
from mmtal_mts.benchmarks.evaluation import (
    THRESHOLDS,
    evaluate_data_frames,
    evaluation_cases,
    random_results,
)
from mmtal_mts.benchmarks.network import build_model
from mmtal_mts.benchmarks.plain_network import PlainConv1d, PlainI3D, make_plain
from mmtal_mts.benchmarks.soft_nms import (
    random_detections,
    soft_nms_cases,
    soft_nms_in_python,
)
from mmtal_mts.evaluation.functional.mean_ap import mean_average_precision
from mmtal_mts.ops import boundary_max_pooling, soft_nms_1d

TINY = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'


def test_pooling_segment_by_segment():
    features = torch.randn(2, 6, 20)
    segments = torch.randint(-4, 26, (2, 9, 4)).float()
    assert torch.equal(
        pool_segment_by_segment(features, segments),
        boundary_max_pooling(features, segments),
    )


def test_every_pooling_case_leaves_gradients():
    cases = boundary_pooling_cases(channels=8, num_frames=16, num_segments=5)
    assert {'loop over the segments', 'vectorised torch'} <= {c.name for c in cases}
    for case in cases:
        case.run()


def test_soft_nms_in_python():
    found = random_detections(200, 1, 100.0)
    kept = soft_nms_in_python(found.segments.tolist(), found.scores.tolist())
    _, scores, index = soft_nms_1d(found.segments, found.scores)
    assert [row for row, _ in kept] == index.tolist()
    np.testing.assert_allclose([score for _, score in kept], scores, rtol=1e-12)


def test_both_soft_nms_cases_keep_the_same_number_in_a_class():
    loop, ours = soft_nms_cases(num_segments=100, num_classes=3, duration_s=50.0)
    assert ours.items == 3
    assert (ours.run().labels == 0).sum() == len(loop.run())


def test_evaluation_with_data_frames():
    truth, found = random_results(2000, num_videos=9, num_segments=120, num_classes=4)
    ours = mean_average_precision(truth, found, 4, THRESHOLDS)
    assert 0.05 < ours.average() < 0.95
    slow = evaluate_data_frames(truth, found, 4)
    np.testing.assert_allclose(slow, ours.ap, rtol=0, atol=1e-12)


def test_evaluation_cases_run():
    for case in evaluation_cases(num_detections=300):
        case.run()


def test_plain_network(repo_root):
    model = build_model(repo_root / TINY).eval()
    # Random statistics, so that a forgotten batch norm shows.
    for name, value in model.backbone.state_dict().items():
        if name.endswith(('running_mean', 'running_var')):
            value.uniform_(0.5, 1.5)
    frames = torch.rand(1, 3, 128, 48, 48) * 2 - 1
    with torch.inference_mode():
        expected = model(frames)
        plain = make_plain(model)
        outputs = plain(frames)
    assert isinstance(plain.backbone, PlainI3D)
    assert any(isinstance(module, PlainConv1d) for module in plain.modules())
    for key, value in expected.items():
        torch.testing.assert_close(outputs[key], value, rtol=1e-3, atol=1e-3)


def test_plain_network_trains_with_frozen_batch_norm(repo_root):
    plain = make_plain(build_model(repo_root / TINY)).train()
    norms = [m for m in plain.backbone.modules() if 'BatchNorm' in type(m).__name__]
    assert norms and not any(norm.training for norm in norms)
    assert not any(norm.weight.requires_grad for norm in norms)
    assert plain.backbone.Mixed_4f.b0.conv3d.weight.requires_grad


def test_data_set_is_large_for_readers_only(tmp_path):
    whole, ours = data_cases(
        tmp_path, gigabytes=0.2, clip_len=96, crop_size=90, clips=2
    )
    files = list(tmp_path.glob('*.npy'))
    assert len(files) == 2 and sum(f.stat().st_size for f in files) > 1.9e8
    assert sum(f.stat().st_blocks * 512 for f in files) < 1e6
    assert whole.run().shape == (3, 96, 90, 90)
    assert ours.items == 2
    ours.run()
    with pytest.raises(ValueError, match='--gigabytes 0'):
        data_cases(tmp_path, gigabytes=0)
