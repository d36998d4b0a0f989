from __future__ import annotations

from mmengine.model import bias_init_with_prob
from torch import nn

from ..layers import SameConv1d

# Probability of every class at the start, as in the focal loss paper.
_PRIOR = 0.01


def uses_sigmoid(loss_cls: nn.Module) -> bool:
    """Whether a classification loss rates every class by itself.

    Args:
        loss_cls: Built loss; ``use_sigmoid`` is MMDetection's name of that setting.

    Returns:
        True for K logits that go through a sigmoid, False for K+1 that go through a
        softmax, background last.
    """
    return bool(getattr(loss_cls, 'use_sigmoid', False))


class SigmoidClassConv(SameConv1d):
    """Predicts K logits that start out improbable, whatever the head's ``init_cfg``.

    At one half, the many background locations would drown the first steps.

    Args:
        channels: Channels C' of the feature.
        num_classes: K.
        kernel_size: Kernel size.
    """

    def __init__(self, channels: int, num_classes: int, kernel_size: int) -> None:
        super().__init__(channels, num_classes, kernel_size)
        self.init_weights()

    def init_weights(self) -> None:
        """Called by MMEngine after the ``init_cfg`` of the head was applied."""
        nn.init.constant_(self.bias, bias_init_with_prob(_PRIOR))


def class_conv(
    channels: int, num_classes: int, kernel_size: int, loss_cls: nn.Module
) -> SameConv1d:
    """The convolution that predicts as many logits as the loss takes.

    Args:
        channels: Channels C' of the feature.
        num_classes: K, without background.
        kernel_size: Kernel size.
        loss_cls: Built classification loss.

    Returns:
        Convolution to K or K+1 channels, see :func:`uses_sigmoid`.
    """
    if uses_sigmoid(loss_cls):
        return SigmoidClassConv(channels, num_classes, kernel_size)
    return SameConv1d(channels, num_classes + 1, kernel_size)
