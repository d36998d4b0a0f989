import math

import pytest
import torch
from tiny_models import instances

from mmtal_mts.models.dense_heads import DenseClassificationHead

N, C, T0, T, K = 2, 4, 8, 32, 3


def head(**kwargs):
    torch.manual_seed(0)
    return DenseClassificationHead(num_classes=K, in_channels=C, **kwargs)


def feats():
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(N, C, T0, 3, 3, generator=generator),)


def test_logits_are_a_linear_map_of_the_mean_over_space():
    model, (x,) = head(), feats()
    logits = model((x,))
    assert logits.shape == (N, T0, K)
    torch.testing.assert_close(
        logits[1, 5], model.fc.weight @ x[1, :, 5].mean((1, 2)) + model.fc.bias
    )


def test_feat_index_chooses_the_map():
    model = head(feat_index=1)
    (x,) = feats()
    torch.testing.assert_close(model((x * 0, x)), head()((x,)))


def test_loss_is_the_cross_entropy_inside_actions():
    model, maps = head(), feats()
    # Positions are centred at 2, 6, 10, ...: the first action holds 2 and 6, the
    # second one 18, and the other clip has none.
    gt = [instances([[0, 8], [16, 20]], [1, 2]), instances([], [])]
    losses = model.loss(maps, T, gt)
    logits = model(maps)[0, [0, 1, 4]]
    expected = [
        -math.log(row[k]) for row, k in zip(logits.softmax(1), (1, 1, 2), strict=True)
    ]
    assert losses['loss_warmup_cls'].item() == pytest.approx(sum(expected) / 3)
    right = (logits.argmax(1) == torch.tensor([1, 1, 2])).tolist()
    assert losses['warmup_acc'].item() == pytest.approx(sum(right) / 3)


def test_clips_without_an_action_give_zero_loss_with_a_gradient():
    model = head()
    losses = model.loss(feats(), T, [instances([], [])] * N)
    losses['loss_warmup_cls'].backward()
    assert losses['loss_warmup_cls'].item() == 0
    assert model.fc.weight.grad.abs().sum() == 0


def test_other_channels_are_named():
    with pytest.raises(ValueError, match='warmup_head.in_channels=4'):
        head()((torch.rand(1, C + 1, T0, 3, 3),))


def test_a_step_down_the_gradient_lowers_the_loss():
    model, maps = head(), feats()
    truth = [instances([[0, 16]], [0]), instances([[16, 32]], [2])]
    before = model.loss(maps, T, truth)['loss_warmup_cls']
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    assert model.loss(maps, T, truth)['loss_warmup_cls'] < before
