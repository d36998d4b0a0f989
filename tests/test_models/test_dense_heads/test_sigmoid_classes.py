"""Heads where every class is rated by itself: K logits, no background."""

from __future__ import annotations

import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmtal_mts.models import BoundaryRefineHead, CoarseHead, mean_raw_outputs
from mmtal_mts.models.necks import NeckFeatures

K = 3
CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
SIGMOID = dict(type='SigmoidLossOfTheTests')


@MODELS.register_module(force=True)
class SigmoidLossOfTheTests(nn.Module):
    """Says how it works under MMDetection's name for that."""

    use_sigmoid = True


@pytest.mark.parametrize('loss_cls, logits', [(SIGMOID, K), (None, K + 1)])
def test_the_loss_says_how_many_logits_there_are(loss_cls, logits):
    coarse = CoarseHead(K, 8, num_levels=2, num_groups=2, loss_cls=loss_cls)
    refine = BoundaryRefineHead(K, 8, num_groups=2, loss_cls=loss_cls)
    assert coarse.cls_conv.out_channels == refine.cls_conv.out_channels == logits
    levels = (torch.rand(2, 8, 4), torch.rand(2, 8, 2))
    clip = torch.rand(2, 3, 16, 1, 1)
    outputs = coarse(NeckFeatures(levels, levels, torch.rand(2, 8, 16), clip))
    assert [x.shape for x in outputs.logits] == [(2, 4, logits), (2, 2, logits)]


def test_at_the_start_every_class_is_improbable():
    init_cfg = dict(type='Xavier', layer='Conv1d', bias=0.5)
    options = dict(num_groups=2, loss_cls=SIGMOID, init_cfg=init_cfg)
    for head in (
        CoarseHead(K, 8, num_levels=2, **options),
        BoundaryRefineHead(K, 8, **options),
    ):
        head.init_weights()
        # Everything else is what the config says.
        assert {
            bias[0].item()
            for name, bias in head.named_parameters()
            if name.endswith('conv.bias') and 'cls_conv' not in name
        } == {0.5}
        torch.testing.assert_close(head.cls_conv.bias.sigmoid(), torch.full((K,), 0.01))


def test_decoding_by_hand():
    outputs = dict(
        points=torch.tensor([8.0]),
        coarse_distances=torch.tensor([[[2.0, 4.0]]]),
        refine_offsets=torch.zeros(1, 1, 2),
        coarse_logits=torch.tensor([[[0.0, math.log(3.0)]]]),
        refine_logits=torch.tensor([[[0.0, -math.log(3.0)]]]),
        quality_logits=torch.tensor([[math.log(4.0)]]),
    )
    head = BoundaryRefineHead(2, 8, num_groups=2, loss_cls=SIGMOID)
    segments, scores = head.decode(outputs, 16)
    assert segments.tolist() == [[[6.0, 12.0]]]
    torch.testing.assert_close(scores, 0.8 * torch.tensor([[[0.5, 0.5]]]))
    # Two streams: the logits are averaged, then decoded the same way.
    other = dict(outputs, coarse_logits=torch.tensor([[[0.0, -math.log(3.0)]]]))
    scores = head.decode(mean_raw_outputs([outputs, other]), 16)[1]
    torch.testing.assert_close(scores, 0.8 * torch.tensor([[[0.5, 0.375]]]))


def test_both_heads_must_agree(repo_root):
    model = Config.fromfile(str(repo_root / CONFIG)).model
    model.coarse_head.loss_cls = SIGMOID
    with pytest.raises(
        ValueError, match='use_sigmoid=True, refine_head has use_sigmoid=False: let'
    ):
        MODELS.build(model)
    model.refine_head.loss_cls = SIGMOID
    assert MODELS.build(model).refine_head.use_sigmoid


def test_two_streams_must_agree(repo_root):
    config = CONFIG.replace('.py', '-two-stream.py')
    model = Config.fromfile(str(repo_root / config)).model
    for head in ('coarse_head', 'refine_head'):
        model.flow[head].loss_cls = SIGMOID
    with pytest.raises(ValueError, match='flow has use_sigmoid=True'):
        MODELS.build(model)
