"""Converting AFSD's checkpoints: every key, every variant, and wrong files."""

import sys

import pytest
import torch
from afsd_to_mmtal import convert_afsd_state_dict, main
from tiny_models import golden

from mmtal_mts.utils import run_tool

from .reference import CONFIGS, build_config_model


def empty_state_dict(variant):
    """The keys and shapes of a checkpoint, without memory behind them."""
    shapes = golden('g_keys.json')[variant]['state_dict']
    state = {key: torch.zeros(1).expand(shape or [1]) for key, shape in shapes.items()}
    counters = (key for key in state if key.endswith('num_batches_tracked'))
    return state | dict.fromkeys(counters, torch.zeros((), dtype=torch.long))


@pytest.mark.parametrize('variant', CONFIGS)
def test_converted_keys_and_shapes_are_those_of_the_public_config(variant):
    recorded = variant if variant != 'anet_in2' else 'anet_in3'
    source = empty_state_dict(recorded)
    model = build_config_model(variant)
    if variant == 'anet_in2':
        first = 'backbone._model.Conv3d_1a_7x7.conv3d.weight'
        source[first] = source[first][:, :2]
    converted = convert_afsd_state_dict(source)
    assert len(converted) == len(source) == 442
    model.load_state_dict(converted, strict=True)
    if variant != 'anet_in2':
        expected = golden('g_keys.json')[variant]['n_parameters']
        assert sum(p.numel() for p in model.parameters()) == expected
    # Old checkpoints have no counters of batches.
    old = {k: v for k, v in source.items() if not k.endswith('num_batches_tracked')}
    assert len(convert_afsd_state_dict(old)) == len(old) < 442


def test_background_moves_to_the_end_and_scales_lose_their_axis():
    source = empty_state_dict('thumos14_in3')
    head = 'coarse_pyramid_detection.'
    for name in ('conf_head', 'prop_conf_head'):
        source[f'{head}{name}.conv1d.bias'] = torch.arange(21.0)
    source[f'{head}loc_heads.3.scale'] = torch.tensor([1.5])
    prefixed = {f'module.{key}': value for key, value in source.items()}
    converted = convert_afsd_state_dict(prefixed)
    for name in ('coarse_head', 'refine_head'):
        assert converted[f'{name}.cls_conv.bias'].tolist() == [*range(1, 21), 0]
    scale = converted['coarse_head.scales.3.scale']
    assert scale.shape == () and scale == 1.5


def test_wrong_state_dicts_are_refused_with_what_does_not_fit():
    good, prefix = empty_state_dict('thumos14_in3'), 'backbone._model.'
    bias = 'coarse_pyramid_detection.deconv.3.conv1d.bias'
    center = 'coarse_pyramid_detection.center_head.conv1d.weight'
    kinetics = {k[len(prefix) :]: v for k, v in good.items() if k.startswith(prefix)}
    for state, message in (
        ({'strange': torch.zeros(1)}, 'missing.*1 unknown: strange'),
        ({k: v for k, v in good.items() if k != bias}, f'1 missing: {bias}'),
        (good | {'extra': torch.zeros(1)}, '1 unknown: extra'),
        (
            good | {center: torch.zeros(2, 512, 3)},
            r'1 of another shape: .*center_head.*\(2, ',
        ),
        (kinetics, 'pretrained'),
    ):
        with pytest.raises(ValueError, match=message):
            convert_afsd_state_dict(state)


def test_tool_refuses_wrong_files(monkeypatch, tmp_path, capsys):
    path = tmp_path / 'wrong.pth'
    command = ['afsd_to_mmtal.py', str(path), str(tmp_path / 'out.pth')]
    monkeypatch.setattr(sys, 'argv', command)
    for content, message in (
        (None, 'wrong.pth does not exist'),
        ({'state_dict': {'a': torch.zeros(1)}}, 'wrong.pth: not a state dict of AFSD'),
        (b'not a checkpoint', 'wrong.pth holds something else'),
        ([1, 2], 'holds a list, not a dict'),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        assert run_tool(main) == 2
        assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['wrong.pth']
