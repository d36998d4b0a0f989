"""SAME padding: the output has ``ceil(n / stride)`` positions."""

from __future__ import annotations


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding in front of and behind one axis, the TensorFlow rule.

    Args:
        size: Number of positions on the axis.
        kernel: Kernel size.
        stride: Stride.

    Returns:
        ``(front, behind)``; ``behind`` is ``front`` or ``front + 1``.
    """
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2
