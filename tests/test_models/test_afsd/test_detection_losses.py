"""Loss terms and their gradients against the numbers of AFSD, both variants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tiny_models import golden
from torch.autograd import grad

from mmtal_mts.models.dense_heads import CoarseOutputs, RefineOutputs

from .reference import (
    DETECTION_LOSSES,
    OUTPUTS,
    as_ours,
    build_config_model,
    clip_samples,
)

FILES = {
    'thumos14_in3': golden('b_multisegment_loss.npz'),
    'anet_in3': golden('b_multisegment_loss_anet.npz'),
}
CASES = [(key, str(name)) for key, data in FILES.items() for name in data['names']]


@pytest.fixture(scope='module')
def models():
    return {variant: build_config_model(variant, width=0.03125) for variant in FILES}


def in_original_arithmetic(distances, positive, priors, targets, num_frames):
    """The same distances, computed as AFSD does: in float32 fractions of the clip.

    For 768 frames this rounds by up to 5e-5 of a frame, which is more than the
    tolerance for actions of one frame.
    """
    rounded = distances.clone()
    for i, rows in enumerate(targets):
        rows = torch.from_numpy(rows)  # float32 (start / T, end / T, class)
        left = (priors[:, None] - rows[None, :, 0]) * num_frames
        right = (rows[None, :, 1] - priors[:, None]) * num_frames
        candidates = torch.stack([left, right], -1)  # (P, G, 2)
        error = (candidates - distances[i][:, None]).abs().sum(-1)
        nearest, index = error.min(1)
        assert (nearest[positive[i]] < 1e-4).all()
        chosen = candidates[torch.arange(len(index)), index]
        rounded[i][positive[i]] = chosen[positive[i]]
    return rounded


@pytest.mark.parametrize('variant, case', CASES)
def test_values_and_gradients(models, variant, case):
    model, data = models[variant], FILES[variant]
    num_frames = int(data['clip_length'])
    lengths = [(64 if num_frames == 256 else 96) >> i for i in range(6)]
    inputs = {
        name: torch.tensor(as_ours(name, data[f'{case}/{name}']), requires_grad=True)
        for name in OUTPUTS
    }
    names = map(f'{case}/target{{}}'.format, itertools.count())
    targets = [data[name] for name in itertools.takewhile(data.__contains__, names)]

    coarse = CoarseOutputs(
        (), (), inputs['loc'].split(lengths, 1), inputs['conf'].split(lengths, 1)
    )
    refined = RefineOutputs(
        inputs['prop_loc'], inputs['prop_conf'], inputs['center'].squeeze(-1)
    )
    model.refine_head.refine_iou_thr = float(data[f'{case}/piou'])
    points = model.coarse_head.point_generator.level_points(lengths, num_frames)
    in_frames = [rows * np.float64([num_frames, num_frames, 1]) for rows in targets]
    gt_instances = [sample.gt_instances for sample in clip_samples(in_frames)]
    assigned = model.coarse_head.get_targets(points, gt_instances)
    positive = assigned.labels < model.coarse_head.num_classes
    priors = torch.from_numpy(data['priors'][:, 0])
    distances = assigned.distances
    exact = in_original_arithmetic(distances, positive, priors, targets, num_frames)
    if num_frames == 256:  # every step is exact
        assert torch.equal(exact, distances)
    assigned = assigned._replace(distances=exact)
    losses = model.coarse_head.loss_by_feat(coarse, assigned)
    losses.update(model.refine_head.loss_by_feat(refined, coarse, assigned))

    tensors = list(inputs.values())
    for theirs, (ours, weight) in DETECTION_LOSSES.items():
        value = losses[ours] / (weight if num_frames == 256 else 1)
        expected = float(data[f'{case}/loss/{theirs}'])
        assert value.item() == pytest.approx(expected, rel=1e-5), theirs
        found = grad(value, tensors, retain_graph=True, materialize_grads=True)
        for name, gradient in zip(inputs, found, strict=True):
            # Not recorded: all zero.
            wanted = data.get(f'{case}/grad/{theirs}/{name}', np.zeros(gradient.shape))
            scale = max(np.abs(wanted).max(), 1e-30)
            found, wanted = gradient.numpy() / scale, as_ours(name, wanted) / scale
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=name)
