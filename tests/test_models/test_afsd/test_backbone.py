"""I3D with converted weights at even and odd sizes, RGB and flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from afsd_to_mmtal import afsd_key_map

from mmtal_mts.models import InceptionI3D
from mmtal_mts.models.backbones.inception_i3d import _STAGES

from .reference import afsd_weight, as_input, load_arrays, load_json, reference_clip

GOLDEN = load_arrays('g_i3d_small.npz')
CASES = {'rgb_32x48x48': 3, 'rgb_odd_29x45x47': 3, 'flow_32x48x48': 2}


@pytest.fixture(scope='module')
def backbones():
    networks = {}
    for channels in (3, 2):
        shapes = load_json('g_keys.json')[f'thumos14_in{channels}']['state_dict']
        network = InceptionI3D(in_channels=channels, out_indices=_STAGES)
        weights = {
            name.removeprefix('backbone.'): afsd_weight(key, tuple(shapes[key]))
            for key, name in afsd_key_map({}).items()
            if name.startswith('backbone.')
        }
        network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        networks[channels] = network.eval()
    return networks


@pytest.mark.parametrize('channels_last', [True, False])
@pytest.mark.parametrize('case', CASES)
def test_every_endpoint(backbones, case, channels_last):
    channels = CASES[case]
    clip = as_input(reference_clip(channels, 32, 48, seed=5))
    if 'odd' in case:
        clip = clip[:, :, :29, :45, :47]
    network = backbones[channels]
    network.channels_last = channels_last
    with torch.no_grad():
        outputs = network(clip)
    for name, output in zip(_STAGES, outputs, strict=True):
        shape, idx, values = (
            GOLDEN[f'{case}/{name}/{key}'] for key in ('shape', 'idx', 'values')
        )
        assert tuple(output.shape) == tuple(shape), name
        found = output.contiguous().flatten()[idx].numpy()
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-4, err_msg=name)
