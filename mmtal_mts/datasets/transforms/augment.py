"""Augmentations of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

LabelMap = dict[Union[str, int], Union[str, int]]


@TRANSFORMS.register_module()
class FlipClip(BaseTransform):
    """Mirrors all frames of a window left to right.

    Required Keys:

    - imgs (list of (H, W, C) uint8 arrays)
    - modality
    - gt_labels, and classes if ``label_map`` is given

    Modified Keys: imgs, gt_labels. Added Keys: flip.

    Args:
        flip_ratio (float): Probability of a flip.
        label_map (dict, optional): Classes that a mirror exchanges, by name or index:
            ``{'move left': 'move right'}`` maps both ways.
        negate_flow_x (bool): Mirror the horizontal flow too: a movement to the left
            becomes one to the right.

    Raises:
        ValueError: If an argument makes no sense.
    """

    def __init__(
        self,
        flip_ratio: float = 0.5,
        label_map: LabelMap | None = None,
        negate_flow_x: bool = True,
    ) -> None:
        if not 0 <= flip_ratio <= 1:
            raise ValueError(f'flip_ratio must be in [0, 1], got {flip_ratio}')
        self.flip_ratio = flip_ratio
        self.label_map = dict(label_map or {})
        self.negate_flow_x = negate_flow_x

    def transform(self, results: dict) -> dict:
        """Flips the window or leaves it.

        Args:
            results (dict): See Required Keys.

        Returns:
            dict: The same dict.
        """
        results['flip'] = bool(np.random.rand() < self.flip_ratio)
        if not results['flip']:
            return results
        imgs = [np.ascontiguousarray(img[:, ::-1]) for img in results['imgs']]
        if results['modality'] == 'Flow' and self.negate_flow_x:
            for img in imgs:
                img[..., 0] = 255 - img[..., 0]
        results['imgs'] = imgs
        if self.label_map:
            classes = results['classes']
            mirror = np.arange(len(classes))
            for label, other in self._pairs(classes).items():
                mirror[label] = other
            results['gt_labels'] = mirror[results['gt_labels']]
        return results

    def _pairs(self, classes: Sequence[str]) -> dict[int, int]:
        """Returns the label map by index, in both directions."""
        pairs: dict[int, int] = {}
        for one, other in self.label_map.items():
            label, partner = (self._index(value, classes) for value in (one, other))
            for key, value in ((label, partner), (partner, label)):
                if pairs.setdefault(key, value) != value:
                    raise ValueError(
                        f'FlipClip: label_map exchanges {classes[key]!r} with more '
                        f'than one class: {self.label_map}'
                    )
        return pairs

    @staticmethod
    def _index(value: str | int, classes: Sequence[str]) -> int:
        if isinstance(value, str) and value in classes:
            return list(classes).index(value)
        if isinstance(value, int) and 0 <= value < len(classes):
            return value
        raise ValueError(
            f'FlipClip: label_map names {value!r}, which is not one of the '
            f'{len(classes)} classes {list(classes)[:10]}'
        )

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(flip_ratio={self.flip_ratio}, '
            f'label_map={self.label_map}, negate_flow_x={self.negate_flow_x})'
        )


@TRANSFORMS.register_module()
class ShuffleFrames(BaseTransform):
    """Puts the frames of a window into random order; annotations stay.

    No augmentation but a control experiment: a model that still finds the actions
    recognises them by single frames instead of by motion.

    Modified Keys: imgs (list of frames).
    """

    def transform(self, results: dict) -> dict:
        """Shuffles the frames in time.

        Args:
            results (dict): Holds ``imgs``, a list of frames.

        Returns:
            dict: The same dict.
        """
        imgs = results['imgs']
        results['imgs'] = [imgs[i] for i in np.random.permutation(len(imgs))]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
