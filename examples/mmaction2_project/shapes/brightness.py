"""An augmentation of this project's own."""

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class RandomBrightness(BaseTransform):
    """Makes all frames of a clip brighter or darker by the same amount.

    Args:
        max_change (int): Largest change of a pixel, of 255.
    """

    def __init__(self, max_change: int = 32) -> None:
        self.max_change = max_change

    def transform(self, results: dict) -> dict:
        """Changes ``imgs``, a list of frames (H, W, 3) uint8."""
        change = np.random.randint(-self.max_change, self.max_change + 1)
        results['imgs'] = [
            np.clip(image.astype(np.int16) + change, 0, 255).astype(np.uint8)
            for image in results['imgs']
        ]
        return results
