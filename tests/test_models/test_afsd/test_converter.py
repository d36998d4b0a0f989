"""Converting AFSD's checkpoints: every key, every variant, and wrong files."""

from __future__ import annotations

import sys

import pytest
import torch
from afsd_to_mmtal import convert_afsd_state_dict

from mmtal_mts.utils import run_tool

from .reference import CONFIGS, build_config_model, load_json


def empty_state_dict(variant):
    """The keys and shapes of a checkpoint, without memory behind them."""
    shapes = load_json('g_keys.json')[variant]['state_dict']
    state = {key: torch.zeros(1).expand(shape or [1]) for key, shape in shapes.items()}
    state.update(
        {
            key: torch.zeros((), dtype=torch.long)
            for key in state
            if key.endswith('num_batches_tracked')
        }
    )
    return state


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
        expected = load_json('g_keys.json')[variant]['n_parameters']
        assert sum(p.numel() for p in model.parameters()) == expected


def test_background_moves_to_the_end_and_scales_lose_their_axis():
    source = empty_state_dict('thumos14_in3')
    head = 'coarse_pyramid_detection.'
    for name in ('conf_head', 'prop_conf_head'):
        source[f'{head}{name}.conv1d.bias'] = torch.arange(21.0)
    source[f'{head}loc_heads.3.scale'] = torch.tensor([1.5])
    prefixed = {f'module.{key}': value for key, value in source.items()}
    converted = convert_afsd_state_dict(prefixed)
    for name in ('coarse_head', 'refine_head'):
        bias = converted[f'{name}.cls_conv.bias'].tolist()
        assert bias == [*range(1, 21), 0]
    scale = converted['coarse_head.scales.3.scale']
    assert scale.shape == () and scale == 1.5


def test_wrong_state_dicts_are_refused_with_what_does_not_fit():
    good = empty_state_dict('thumos14_in3')
    with pytest.raises(ValueError, match='missing.*1 unknown: strange'):
        convert_afsd_state_dict({'strange': torch.zeros(1)})
    lacking = dict(good)
    del lacking['coarse_pyramid_detection.deconv.3.conv1d.bias']
    with pytest.raises(ValueError, match='1 missing: .*deconv.3.conv1d.bias'):
        convert_afsd_state_dict(lacking)
    with pytest.raises(ValueError, match='1 unknown: extra'):
        convert_afsd_state_dict({**good, 'extra': torch.zeros(1)})
    key = 'coarse_pyramid_detection.center_head.conv1d.weight'
    with pytest.raises(ValueError, match=r'1 of another shape: .*center_head.*\(2, '):
        convert_afsd_state_dict({**good, key: torch.zeros(2, 512, 3)})
    kinetics = {
        key[len('backbone._model.') :]: value
        for key, value in good.items()
        if key.startswith('backbone')
    }
    with pytest.raises(ValueError, match='pretrained'):
        convert_afsd_state_dict(kinetics)


def test_counters_of_old_checkpoints_may_be_missing():
    source = {
        key: value
        for key, value in empty_state_dict('anet_in3').items()
        if not key.endswith('num_batches_tracked')
    }
    assert len(convert_afsd_state_dict(source)) == len(source)


@pytest.fixture
def tool(load_tool, monkeypatch):
    """Runs the converter in this process: its exit code."""
    module = load_tool('model_converters/afsd_to_mmtal.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['afsd_to_mmtal.py', *map(str, args)])
        return run_tool(module.main)

    return run


def test_tool_refuses_wrong_files(tool, tmp_path, capsys):
    assert tool(tmp_path / 'no.pth', tmp_path / 'out.pth') == 2
    assert 'does not exist' in capsys.readouterr().err
    path = tmp_path / 'wrong.pth'
    torch.save({'state_dict': {'a': torch.zeros(1)}}, path)
    assert tool(path, tmp_path / 'out.pth') == 2
    assert 'wrong.pth: not a state dict of AFSD' in capsys.readouterr().err
    path.write_bytes(b'not a checkpoint')
    assert tool(path, tmp_path / 'out.pth') == 2
    assert 'wrong.pth holds something else' in capsys.readouterr().err
    torch.save([1, 2], path)
    assert tool(path, tmp_path / 'out.pth') == 2
    assert 'holds a list, not a dict' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['wrong.pth']
