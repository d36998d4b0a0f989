"""I3D, heads and the complete network with converted weights against AFSD's numbers."""

import os
import sys

import afsd_to_mmtal
import numpy as np
import pytest
import torch
from afsd_to_mmtal import afsd_key_map
from mmengine.runner import load_checkpoint
from tiny_models import golden

from mmtal_mts.models.backbones.inception_i3d import _STAGES
from mmtal_mts.models.dense_heads import raw_outputs

from .reference import (
    DETECTION_LOSSES,
    OUTPUTS,
    afsd_state_dict,
    as_input,
    as_ours,
    build_config_model,
    build_converted_model,
    clip_samples,
    reference_clip,
    reference_features,
    summarise,
)

LOSSES = DETECTION_LOSSES | {name: (name, 1) for name in ('loss_start', 'loss_end')}
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['afsd_to_mmtal.py', *paths])
        afsd_to_mmtal.main()
    model = build_config_model('thumos14_in3')
    load_checkpoint(model, paths[1], map_location='cpu', strict=True)
    return model.train()


@pytest.mark.parametrize('channels_last', [True, False])
@pytest.mark.parametrize('case', ['rgb_32x48x48', 'rgb_odd_29x45x47', 'flow_32x48x48'])
def test_every_endpoint_of_the_backbone(case, channels_last):
    wanted, channels = golden('g_i3d_small.npz'), 2 if 'flow' in case else 3
    network = build_converted_model(f'thumos14_in{channels}').eval().backbone
    network.out_indices, network.channels_last = _STAGES, channels_last
    clip = as_input(reference_clip(channels, 32, 48, seed=5))
    with torch.no_grad():
        outputs = network(clip[:, :, :29, :45, :47] if 'odd' in case else clip)
    for name, output in zip(_STAGES, outputs, strict=True):
        assert tuple(output.shape) == tuple(wanted[f'{case}/{name}/shape'])
        check_samples(output, wanted, f'{case}/{name}')


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
    losses |= model.refine_head.loss_by_feat(refined, coarse, assigned, gt_instances)
    losses.update(model.refine_head.boundary_loss(refined.boundary, gt_instances))
    return losses


def check_outputs(raw, wanted, suffix='', rtol_of_distances=0):
    outputs = raw_outputs(*raw)
    for theirs, ours in OUTPUTS.items():
        rtol, atol = (rtol_of_distances, 1e-3) if theirs == 'loc' else (0, 1e-4)
        expected = as_ours(theirs, wanted[theirs + suffix])
        found = outputs[ours].detach().numpy().reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
    points = outputs['points'] / raw[1].boundary.frame_level.shape[-1]
    np.testing.assert_allclose(points, wanted['priors'][0, :, 0], atol=1e-7)


def check_samples(output, wanted, key):
    """Compares some values of a large output, at the suggested tolerance."""
    found = output.detach().contiguous().flatten()[wanted[f'{key}/idx']].numpy()
    values = wanted[f'{key}/values']
    np.testing.assert_allclose(found, values, rtol=0, atol=1e-4, err_msg=key)


def check_boundaries(model, raw, wanted):
    """Compares boundary features, and the regions that they are pooled from."""
    suffixes = ('', '_loc_prop', '_conf_prop')
    for suffix, feature in zip(suffixes, raw[1].boundary, strict=True):
        for side, half in zip(('start', 'end'), feature.chunk(2, dim=1), strict=True):
            assert tuple(half.mT.shape) == tuple(wanted[f'{side}{suffix}/shape'])
            check_samples(half.mT, wanted, f'{side}{suffix}')
    num_frames = raw[1].boundary.frame_level.shape[-1]
    regions, coarse = model.refine_head.regions, raw[0]
    points, distances = torch.cat(coarse.level_points), torch.cat(coarse.distances, 1)
    frame = regions.frame_regions(points, distances)
    level = [regions.level_regions(d, num_frames) for d in coarse.distances]
    for name, found in (('frame', frame), ('pyramid', torch.cat(level, 1))):
        found = found.detach().numpy()
        np.testing.assert_array_equal(found, wanted[f'segments_{name}'])


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
    expected, wanted = golden('g_head_batch2_grads.json'), golden('g_head_batch2.npz')
    feats = [f.requires_grad_() for f in reference_features('thumos14', 2)]
    raw = run_head(model, feats, 256)
    check_outputs(raw, wanted)
    check_boundaries(model, raw, wanted)

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
        norms = exact['feat_grad'][name][:2]
        assert summarise(name, feat.grad)[:2] == pytest.approx(norms, rel=1e-4)


def test_complete_network_forward_losses_and_gradients(model):
    """In float32, near-equal cells of the max poolings of I3D change places from one
    processor to the next, which moves gradients by 0.3 %; in double precision not.
    """
    wanted, expected = golden('g_bdnet_forward.npz'), golden('g_bdnet_grads.json')
    model = model.double()
    wanted_maps, model.backbone.out_indices = model.backbone.out_indices, _STAGES
    frames = as_input(reference_clip()).double()
    maps = dict(zip(_STAGES, model.backbone(frames), strict=True))
    model.backbone.out_indices = wanted_maps
    features = model.neck([maps[name] for name in wanted_maps], frames)
    coarse = model.coarse_head(features)
    raw = coarse, model.refine_head(features, coarse)
    for name, output in maps.items():
        check_samples(output, wanted, f'backbone/{name}')
    check_outputs(raw, wanted)
    check_outputs(raw, wanted, '_f64')
    check_boundaries(model, raw, wanted)

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
    early = () if FULL else ('backbone.Conv3d', 'backbone.Mixed_3')
    trained = ((k, p) for k, p in model.named_parameters() if p.requires_grad)
    late = {name: p for name, p in trained if not name.startswith(early)}
    consistency.backward(inputs=list(late.values()))
    names = afsd_key_map(afsd_state_dict('thumos14_in3'))
    gradients = afsd_gradients(model).items()
    chosen = {key: gradient for key, gradient in gradients if names[key] in late}
    check_gradients(chosen, exact['ssl_grads'])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_head_of_activitynet(dtype):
    wanted = golden('g_head_anet.npz')
    model = build_converted_model('anet_in3').eval().to(dtype)
    feats = [feat.to(dtype) for feat in reference_features('anet', 1)]
    with torch.no_grad():
        raw = run_head(model, feats, 768)
    check_boundaries(model, raw, wanted)
    # Distances of up to 2,000 frames: AFSD's own float32 is off by 2e-3 of a frame.
    suffix, rtol = ('_f64', 0) if dtype == torch.float64 else ('', 1e-5)
    check_outputs(raw, wanted, suffix, rtol_of_distances=rtol)
