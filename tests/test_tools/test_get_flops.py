"""Counting parameters and operations."""

from __future__ import annotations

import pytest
import torch
from get_flops import measure_model
from mmaction.registry import MODELS
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mmtal_mts.apis import load_config
from mmtal_mts.utils import UserError

STEM = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'


def test_two_streams_are_the_sum_of_both(repo_root):
    cfg = load_config(repo_root / f'{STEM}-two-stream.py')
    *parts, total = measure_model(cfg)[0]
    _, *numbers = zip(*parts, strict=True)
    assert total == ('all', *map(sum, numbers))
    model = MODELS.build(cfg.model)
    assert total.num_parameters == sum(p.numel() for p in model.parameters())
    sizes = {part.name: part for part in parts}
    rgb, flow = sizes['rgb backbone'], sizes['flow backbone']
    # The first convolution reads a channel less, and is alike otherwise.
    weight = next(p for p in model.rgb.backbone.parameters() if p.dim() == 5)
    assert rgb.num_parameters - flow.num_parameters == weight.numel() / 3
    positions = 64 * 24 * 24  # outputs of a 128x48x48 clip at stride 2
    assert rgb.num_flops - flow.num_flops == 2 * positions * weight.numel() / 3


def test_attention_is_counted(repo_root):
    """PyTorch fuses it at inference into an operation whose size it does not know."""
    cfg = load_config(repo_root / f'{STEM}.py')
    with_fsa = {part.name: part.num_flops for part in measure_model(cfg)[0]}
    model = MODELS.build(cfg.model).eval().to('meta')
    tokens = torch.zeros(128, 9, 64, device='meta')
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.refine_head.fsa.encoder(tokens)
    # 128 frames of 9 patches with 64 channels: 4 projections, and 9 x 9 products twice.
    assert counter.get_total_flops() == 2 * 128 * (9 * 4 * 64**2 + 2 * 9**2 * 64)
    assert with_fsa['refine_head'] > counter.get_total_flops()


def test_another_model_is_refused():
    with pytest.raises(UserError, match='X has no backbone'):
        measure_model(Config(dict(model=dict(type='X'))))
