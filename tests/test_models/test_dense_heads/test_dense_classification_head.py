import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmtal_mts.models.dense_heads import DenseClassificationHead

N, C, T0, T, K = 2, 4, 8, 32, 3


def head(**kwargs):
    torch.manual_seed(0)
    return DenseClassificationHead(num_classes=K, in_channels=C, **kwargs)


def feats():
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(N, C, T0, 3, 3, generator=generator),)


def gt(segments, labels):
    return InstanceData(
        segments=torch.tensor(segments, dtype=torch.float32).reshape(-1, 2),
        labels=torch.tensor(labels, dtype=torch.long),
    )


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
    instances = [gt([[0, 8], [16, 20]], [1, 2]), gt([], [])]
    losses = model.loss(maps, T, instances)
    logits = model(maps)[0]
    expected = [
        -math.log(torch.softmax(logits[i], 0)[k].item())
        for i, k in ((0, 1), (1, 1), (4, 2))
    ]
    assert losses['loss_warmup_cls'].item() == pytest.approx(sum(expected) / 3)
    right = [logits[i].argmax().item() == k for i, k in ((0, 1), (1, 1), (4, 2))]
    assert losses['warmup_acc'].item() == pytest.approx(sum(right) / 3)


def test_clips_without_an_action_give_zero_loss_with_a_gradient():
    model = head()
    losses = model.loss(feats(), T, [gt([], [])] * N)
    losses['loss_warmup_cls'].backward()
    assert losses['loss_warmup_cls'].item() == 0
    assert model.fc.weight.grad.abs().sum() == 0


def test_a_step_down_the_gradient_lowers_the_loss():
    model, maps = head(), feats()
    instances = [gt([[0, 16]], [0]), gt([[16, 32]], [2])]
    before = model.loss(maps, T, instances)['loss_warmup_cls']
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    assert model.loss(maps, T, instances)['loss_warmup_cls'] < before


def test_other_channels_are_named():
    with pytest.raises(ValueError, match='warmup_head.in_channels=4'):
        head()((torch.rand(1, C + 1, T0, 3, 3),))
