"""Heads and the complete network with converted weights against AFSD's numbers."""

from __future__ import annotations

import importlib.util
import os
import sys

import numpy as np
import pytest
import torch
from afsd_to_mmtal import afsd_key_map
from mmengine.runner import load_checkpoint

from mmtal_mts.models.dense_heads import raw_outputs

from .reference import (
    ROOT,
    afsd_state_dict,
    as_input,
    background_last,
    build_config_model,
    build_converted_model,
    clip_samples,
    load_arrays,
    load_json,
    reference_clip,
    reference_features,
    summarise,
)

# AFSD's name of an output, ours in mode='tensor', suggested tolerance.
OUTPUTS = {
    'loc': ('coarse_distances', 1e-3),
    'conf': ('coarse_logits', 1e-4),
    'prop_loc': ('refine_offsets', 1e-4),
    'prop_conf': ('refine_logits', 1e-4),
    'center': ('quality_logits', 1e-4),
}
LOSSES = {
    'loss_l': ('loss_coarse_loc', 10),
    'loss_c': ('loss_coarse_cls', 1),
    'loss_prop_l': ('loss_refine_loc', 10),
    'loss_prop_c': ('loss_refine_cls', 1),
    'loss_ct': ('loss_quality', 1),
    'loss_start': ('loss_start', 1),
    'loss_end': ('loss_end', 1),
}
HEAD = 'coarse_pyramid_detection.'
CLASSIFIERS = ('conf_head', 'prop_conf_head')
# Also the gradients of the consistency loss in the first, most costly stages of I3D.
FULL = os.environ.get('MMTAL_MTS_FULL_PARITY', '0') != '0'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """The public config with a checkpoint that went through the public tool."""
    folder = tmp_path_factory.mktemp('afsd')
    paths = [str(folder / 'afsd.ckpt'), str(folder / 'out' / 'mmtal.pth')]
    torch.save(afsd_state_dict('thumos14_in3'), paths[0])
    path = ROOT / 'tools' / 'model_converters' / 'afsd_to_mmtal.py'
    spec = importlib.util.spec_from_file_location('afsd_to_mmtal', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(path), *paths])
        tool.main()
    model = build_config_model('thumos14_in3')
    load_checkpoint(model, paths[1], map_location='cpu', strict=True)
    return model.train()


def run_head(model, feats, num_frames):
    """Everything behind the backbone; without STT and FSA no pixel is read."""
    frames = torch.empty(len(feats[0]), 3, num_frames, 1, 1)
    features = model.neck(feats, frames)
    coarse = model.coarse_head(features)
    return coarse, model.refine_head(features, coarse)


def losses_of(model, outputs, targets):
    coarse, refined = outputs
    gt_instances = [sample.gt_instances for sample in clip_samples(targets)]
    assigned = model.coarse_head.get_targets(coarse.level_points, gt_instances)
    losses = model.coarse_head.loss_by_feat(coarse, assigned)
    losses.update(model.refine_head.loss_by_feat(refined, coarse, assigned))
    losses.update(model.refine_head.boundary_loss(refined.boundary, gt_instances))
    return losses


def check_outputs(raw, golden, suffix=''):
    outputs = raw_outputs(*raw)
    for theirs, (ours, tolerance) in OUTPUTS.items():
        expected = golden[theirs + suffix]
        if 'conf' in theirs:
            expected = background_last(expected)
        found = outputs[ours].detach().numpy().reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    num_frames = raw[1].boundary.frame_level.shape[-1]
    priors = golden['priors'][0, :, 0]
    np.testing.assert_allclose(outputs['points'] / num_frames, priors, atol=1e-7)


def check_boundary_features(raw, golden):
    for i, side in enumerate(('start', 'end')):
        for name, feature in zip(
            ('', '_loc_prop', '_conf_prop'), raw[1].boundary, strict=True
        ):
            half = feature.detach().chunk(2, dim=1)[i].mT.contiguous()
            key = f'{side}{name}'
            assert tuple(half.shape) == tuple(golden[f'{key}/shape'])
            found = half.flatten()[golden[f'{key}/idx']].numpy()
            np.testing.assert_allclose(found, golden[f'{key}/values'], atol=1e-4)


def check_regions(model, raw, golden):
    distances = torch.cat(raw[0].distances, 1)
    num_frames = raw[1].boundary.frame_level.shape[-1]
    points = torch.cat(raw[0].level_points)
    frame = model.refine_head.regions.frame_regions(points, distances)
    level = torch.cat(
        [
            model.refine_head.regions.level_regions(d, num_frames)
            for d in raw[0].distances
        ],
        dim=1,
    )
    np.testing.assert_array_equal(frame.detach().numpy(), golden['segments_frame'])
    np.testing.assert_array_equal(level.detach().numpy(), golden['segments_pyramid'])


def check_losses(losses, expected):
    for theirs, (ours, weight) in LOSSES.items():
        value = losses[ours].item() / weight
        assert value == pytest.approx(expected['losses'][theirs], rel=1e-5), theirs
    total = sum(losses.values()).item()
    assert total == pytest.approx(expected['total'], rel=1e-5)


def afsd_gradients(model, prefix=''):
    """Gradients by AFSD's name, without ``prefix``, with AFSD's order of classes."""
    parameters = dict(model.named_parameters())
    gradients = {}
    for key, name in afsd_key_map(afsd_state_dict('thumos14_in3')).items():
        if not key.startswith(prefix) or name not in parameters:
            continue
        gradient = parameters[name].grad
        if gradient is not None and key.split('.')[1] in CLASSIFIERS:
            gradient = torch.cat([gradient[-1:], gradient[:-1]])
        gradients[key[len(prefix) :]] = gradient
    return gradients


def check_gradients(gradients, expected):
    """Norm and projection of every gradient, at the suggested tolerances."""
    for key, gradient in gradients.items():
        wanted = expected[key]
        if wanted is None:
            assert gradient is None or not gradient.any(), key
            continue
        norm, _, projection = summarise(key, gradient)
        in_backbone = key.startswith('backbone')
        assert norm == pytest.approx(wanted[0], rel=2e-3 if in_backbone else 1e-4), key
        slack = (5e-2 if in_backbone else 1e-3) * wanted[0]
        assert projection == pytest.approx(wanted[2], abs=slack), key


def test_head_alone_on_two_clips(model):
    golden = load_arrays('g_head_batch2.npz')
    expected = load_json('g_head_batch2_grads.json')
    feats = [f.requires_grad_() for f in reference_features('thumos14', 2)]
    raw = run_head(model, feats, 256)
    check_outputs(raw, golden)
    check_boundary_features(raw, golden)
    check_regions(model, raw, golden)

    targets = [np.array(rows) * [256, 256, 1] for rows in expected['targets']]
    losses = losses_of(model, raw, targets)
    exact = expected['modes']['exact']
    check_losses(losses, exact)
    model.zero_grad(set_to_none=True)
    sum(losses.values()).backward()
    gradients = afsd_gradients(model, HEAD)
    assert set(gradients) == set(exact['grads'])
    check_gradients(gradients, exact['grads'])
    for name, feat in zip(('Mixed_4f', 'Mixed_5c'), feats, strict=True):
        wanted = exact['feat_grad'][name]
        norm, sum_, _ = summarise(name, feat.grad)
        assert norm == pytest.approx(wanted[0], rel=1e-4)
        assert sum_ == pytest.approx(wanted[1], rel=1e-4)


def endpoints(backbone):
    """Detached outputs of every stage during the next forward pass."""
    captured = {}

    def hook(name):
        return lambda module, args, output: captured.update({name: output.detach()})

    handles = [
        getattr(backbone, name).register_forward_hook(hook(name))
        for name in backbone.stages
    ]
    return captured, handles


def test_complete_network_forward_losses_and_gradients(model):
    """In double precision: in float32, near-equal cells of the max poolings of I3D
    change places from one processor to the next, which moves gradients by 0.3 %.
    """
    golden, expected = (
        load_arrays('g_bdnet_forward.npz'),
        load_json('g_bdnet_grads.json'),
    )
    model = model.double()
    captured, handles = endpoints(model.backbone)
    features = model.extract_feat(as_input(reference_clip()).double())
    coarse = model.coarse_head(features)
    raw = coarse, model.refine_head(features, coarse)
    for handle in handles:
        handle.remove()
    for name, output in captured.items():
        found = output.contiguous().flatten()[golden[f'backbone/{name}/idx']].numpy()
        np.testing.assert_allclose(
            found, golden[f'backbone/{name}/values'], atol=1e-4, err_msg=name
        )
    check_outputs(raw, golden)
    check_outputs(raw, golden, '_f64')
    check_boundary_features(raw, golden)
    check_regions(model, raw, golden)

    losses = losses_of(model, raw, [expected['annos_frames']])
    exact, double = expected['modes']['exact'], expected['modes']['exact_f64']
    check_losses(losses, exact)
    model.zero_grad(set_to_none=True)
    sum(losses.values()).backward(retain_graph=True)
    gradients = afsd_gradients(model)
    assert set(gradients) == set(exact['grads'])
    check_gradients(gradients, exact['grads'])
    for key, gradient in gradients.items():
        # Tighter, against the numbers of AFSD in double precision.
        if gradient is not None:
            norm = summarise(key, gradient)[0]
            assert norm == pytest.approx(double['grads'][key][0], rel=1e-5), key

    segments = torch.tensor([expected['ssl_segments_frames']])
    consistency = model.refine_head.consistency_loss(raw[1].boundary, segments)
    consistency = consistency / model.refine_head.loss_consistency.loss_weight
    assert consistency.item() == pytest.approx(exact['ssl_unweighted'], rel=1e-5)
    model.zero_grad(set_to_none=True)
    late = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        and (FULL or not name.startswith(('backbone.Conv3d', 'backbone.Mixed_3')))
    ]
    consistency.backward(inputs=late)
    names = afsd_key_map(afsd_state_dict('thumos14_in3'))
    chosen = {id(parameter) for parameter in late}
    parameters = dict(model.named_parameters())
    check_gradients(
        {
            key: gradient
            for key, gradient in afsd_gradients(model).items()
            if id(parameters[names[key]]) in chosen
        },
        exact['ssl_grads'],
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_head_of_activitynet(dtype):
    golden = load_arrays('g_head_anet.npz')
    model = build_converted_model('anet_in3').eval().to(dtype)
    feats = [feat.to(dtype) for feat in reference_features('anet', 1)]
    with torch.no_grad():
        raw = run_head(model, feats, 768)
    check_boundary_features(raw, golden)
    check_regions(model, raw, golden)
    if dtype == torch.float64:
        check_outputs(raw, golden, '_f64')
        return
    # Distances of up to 2,000 frames: AFSD's own float32 is off by 2e-3 of a frame.
    distances = torch.cat(raw[0].distances, 1).numpy()
    np.testing.assert_allclose(distances, golden['loc'], rtol=1e-5, atol=1e-3)
    logits = raw_outputs(*raw)
    for theirs, (ours, tolerance) in list(OUTPUTS.items())[1:]:
        expected = golden[theirs]
        if 'conf' in theirs:
            expected = background_last(expected)
        found = logits[ours].numpy().reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
