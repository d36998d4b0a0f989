"""From what both heads say to detections: scores, thresholds, seconds, settings.

Also with heads where every class is rated by itself: K logits, no background.
"""

from __future__ import annotations

import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_models import clip_sample as sample
from torch import nn
from torch.testing import assert_close

from mmtal_mts.models import BoundaryRefineHead, CoarseHead, mean_raw_outputs
from mmtal_mts.models.dense_heads import (
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)
from mmtal_mts.models.necks import NeckFeatures

K = 3
CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic-two-stream.py'
SIGMOID = dict(type='SigmoidLossOfTheTests')


def raw(offsets=(0.0, 0.0)):
    """One location of a clip whose scores are 0.2 and 0.1."""
    return dict(
        points=torch.tensor([10.0]),
        coarse_distances=torch.tensor([[[4.0, 6.0]]]),
        coarse_logits=torch.log(torch.tensor([[[0.2, 0.3, 0.5]]])),
        refine_offsets=torch.tensor([[offsets]]),
        refine_logits=torch.log(torch.tensor([[[0.6, 0.1, 0.3]]])),
        quality_logits=torch.tensor([[0.0]]),
    )


def predict(score_thr, *, offsets=(0.0, 0.0), **metainfo):
    head, clips = BoundaryRefineHead(2, 8, num_groups=2), [sample(**metainfo)]
    return head.predict_by_feat(raw(offsets), 100, clips, dict(score_thr=score_thr))[0]


def test_detections_are_in_seconds_of_the_video():
    found = predict(0.15, offset=50)
    assert_close(found.segments, torch.tensor([[5.6, 6.6]]))
    assert found.labels.tolist() == [0]
    assert found.scores.tolist() == pytest.approx([0.2])
    # Nothing above the threshold; and reversed: start 6 + 15, end 16 - 15.
    assert len(predict(0.9)) == 0 and len(predict(0.0)) == 2
    assert len(predict(0.0, offsets=(-3.0, -3.0))) == 0


def test_video_scores_turn_detections_into_classes():
    segments = torch.tensor([[0.0, 4.0], [2.0, 6.0]])
    scores = torch.tensor([[0.5], [0.2]])
    video_scores = dict(labels=[3, 9], scores=[0.8, 0.1])
    clip = sample(offset=10, fps=2.0, video_scores=video_scores)
    found = select_detections(segments, scores, clip, dict(score_thr=0.1))
    assert found.labels.tolist() == [3, 3, 9, 9]
    assert found.segments.tolist() == [[5, 7], [6, 8]] * 2
    assert_close(found.scores, torch.tensor([0.4, 0.16, 0.05, 0.02]))
    with pytest.raises(ValueError, match='num_classes=2'):
        select_detections(segments, scores.repeat(1, 2), clip, dict(score_thr=0.1))


def test_data_samples_carry_detections_settings_and_raw_outputs():
    settings = complete_test_cfg(dict(nms=dict(sigma=0.3)))
    found, outputs = predict(0.0), raw()
    (clip,) = add_pred_to_datasample([sample()], [found], settings, outputs, 64)
    assert clip.pred_instances is found and clip.test_cfg == settings
    assert clip.raw_outputs.keys() == {*outputs, 'num_frames'}
    assert clip.raw_outputs['num_frames'] == 64
    assert torch.equal(clip.raw_outputs['points'], outputs['points'])
    assert clip.raw_outputs['coarse_logits'].shape == (1, 3)
    (clip,) = add_pred_to_datasample([sample()], [found], settings)
    assert 'raw_outputs' not in clip


def test_settings_that_are_left_out_or_unusable():
    assert complete_test_cfg(None) == dict(
        score_thr=0.01, nms=None, max_per_video=None, clamp=True, fusion='raw'
    )
    with pytest.raises(ValueError, match='score_threshold'):
        complete_test_cfg(dict(score_threshold=0.1))
    with pytest.raises(ValueError, match="fusion='max': choose 'raw' or 'geometric'"):
        complete_test_cfg(dict(fusion='max'))


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
    for head, name in (
        (CoarseHead(K, 8, num_levels=2, **options), 'loc_conv'),
        (BoundaryRefineHead(K, 8, **options), 'offset_conv'),
    ):
        head.init_weights()
        # Everything else is what the config says.
        assert (head.get_submodule(name).bias == 0.5).all()
        assert_close(head.cls_conv.bias.sigmoid(), torch.full((K,), 0.01))


def test_decoding_of_sigmoids_by_hand():
    def outputs(coarse):
        """Logits of two classes, the first one 0."""
        coarse, refined = ([[[0.0, x]]] for x in (coarse, -math.log(3.0)))
        changed = dict(coarse_logits=coarse, refine_logits=refined)
        changed['quality_logits'] = [[math.log(4.0)]]
        return raw() | {key: torch.tensor(value) for key, value in changed.items()}

    head = BoundaryRefineHead(2, 8, num_groups=2, loss_cls=SIGMOID)
    segments, scores = head.decode(outputs(math.log(3.0)), 16)
    assert segments.tolist() == [[[6.0, 16.0]]]
    assert_close(scores, 0.8 * torch.tensor([[[0.5, 0.5]]]))
    # Two streams: the logits are averaged, then decoded the same way.
    both = mean_raw_outputs([outputs(math.log(3.0)), outputs(-math.log(3.0))])
    assert_close(head.decode(both, 16)[1], 0.8 * torch.tensor([[[0.5, 0.375]]]))


def test_heads_and_streams_must_agree(repo_root):
    both = Config.fromfile(str(repo_root / CONFIG)).model
    both.flow.coarse_head.loss_cls = SIGMOID
    with pytest.raises(ValueError, match='use_sigmoid=True, refine_head has .*False: '):
        MODELS.build(both.flow)
    both.flow.refine_head.loss_cls = SIGMOID
    with pytest.raises(ValueError, match='flow has use_sigmoid=True'):
        MODELS.build(both)
