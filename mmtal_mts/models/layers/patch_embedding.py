"""What turns frames into the tokens that STT and FSA read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


class BasePatchEmbedding(BaseModule):
    """A token for each D x D patch of each frame, and the position in its frame.

    Args:
        patch_size: Side D of a patch in pixels.
        crop_size: Side of the square frames in pixels; a multiple of ``patch_size``.
        in_channels: Channels of a frame (3 RGB, 2 flow).
        embed_dims: Channels E of a token.

    Raises:
        ValueError: ``crop_size`` is no multiple of ``patch_size``.
    """

    def __init__(
        self,
        patch_size: int = 24,
        crop_size: int = 96,
        in_channels: int = 3,
        embed_dims: int = 512,
    ) -> None:
        super().__init__()
        if crop_size % patch_size:
            raise ValueError(
                f'patch_size={patch_size} does not divide crop_size={crop_size}; '
                'choose a divisor of the crop (for 96: 16, 24, 32, 48 or 96)'
            )
        self.patch_size = patch_size
        self.crop_size = crop_size
        num_patches = (crop_size // patch_size) ** 2
        self.position = nn.Parameter(torch.zeros(num_patches, embed_dims))
        nn.init.trunc_normal_(self.position, std=0.02)

    def embed(self, frames: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, T, Z, E) without position, Z patches a frame."""
        raise NotImplementedError

    def forward(self, frames: Tensor) -> Tensor:
        """Embeds the patches of every frame.

        Args:
            frames: (N, C, T, H, W) normalised frames.

        Returns:
            (N, T, Z, E) tokens, Z patches a frame.

        Raises:
            ValueError: The frames are not ``crop_size`` on a side.
        """
        h, w = frames.shape[3:]
        if (h, w) != (self.crop_size, self.crop_size):
            raise ValueError(
                f'frames are {h}x{w} pixels, but crop_size={self.crop_size} was '
                'configured; let crop_size of the neck and the refine head agree '
                "with the pipeline's crop"
            )
        return self.embed(frames) + self.position


@MODELS.register_module()
class FramePatchEmbedding(BasePatchEmbedding):
    """A linear map of the pixels of one frame, as in eq. 1 and 5.

    Args:
        patch_size: Side D of a patch in pixels.
        crop_size: Side of the square frames in pixels; a multiple of ``patch_size``.
        in_channels: Channels of a frame (3 RGB, 2 flow).
        embed_dims: Channels E of a token.
    """

    def __init__(
        self,
        patch_size: int = 24,
        crop_size: int = 96,
        in_channels: int = 3,
        embed_dims: int = 512,
    ) -> None:
        super().__init__(patch_size, crop_size, in_channels, embed_dims)
        self.projection = nn.Linear(in_channels * patch_size**2, embed_dims)

    def embed(self, frames: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, T, Z, E) without position, Z patches a frame."""
        n, c, t, h, w = frames.shape
        d = self.patch_size
        patches = frames.reshape(n, c, t, h // d, d, w // d, d)
        patches = patches.permute(0, 2, 3, 5, 1, 4, 6)  # (N, T, H/D, W/D, C, D, D)
        return self.projection(patches.reshape(n, t, -1, c * d * d))


@MODELS.register_module()
class TubeletEmbedding(BasePatchEmbedding):
    """Two small 3-D convolutions, so that a token sees motion, as ViViT's tubelets.

    A single frame tells little about an action, and attention among pixels of single
    frames does not learn to (docs/benchmark.md). The temporal stride is 1: FSA refines
    boundaries to the frame.

    Args:
        patch_size: Side D of a patch in pixels, over which a token is the mean; a
            multiple of 8, the stride of the convolutions.
        crop_size: Side of the square frames in pixels; a multiple of ``patch_size``.
        in_channels: Channels of a frame (3 RGB, 2 flow).
        embed_dims: Channels E of a token.
        stem_channels: Channels of the two convolutions.
        num_groups: Groups of the group normalisation behind each.
        subtract_mean: Whether the convolutions see what differs from the mean over
            the clip, which hides what never moves.

    Raises:
        ValueError: ``patch_size`` is no multiple of 8.
    """

    def __init__(
        self,
        patch_size: int = 24,
        crop_size: int = 96,
        in_channels: int = 3,
        embed_dims: int = 512,
        stem_channels: tuple[int, int] = (32, 128),
        num_groups: int = 8,
        subtract_mean: bool = True,
    ) -> None:
        super().__init__(patch_size, crop_size, in_channels, embed_dims)
        if patch_size % 8:
            raise ValueError(
                f'patch_size={patch_size} is no multiple of 8, the stride of the '
                'convolutions of TubeletEmbedding: choose one (for crop_size=96: 16, '
                '24, 32, 48 or 96), or set neck.tokens=None'
            )
        first, second = stem_channels
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, first, (3, 7, 7), (1, 4, 4), (1, 3, 3), bias=False),
            nn.GroupNorm(num_groups, first),
            nn.ReLU(inplace=True),
            nn.Conv3d(first, second, 3, (1, 2, 2), 1, bias=False),
            nn.GroupNorm(num_groups, second),
            nn.ReLU(inplace=True),
        )
        self.projection = nn.Linear(second, embed_dims)
        self.subtract_mean = subtract_mean

    def embed(self, frames: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, T, Z, E) without position, Z patches a frame."""
        if self.subtract_mean:
            frames = frames - frames.mean(dim=2, keepdim=True)
        maps = self.stem(frames)  # (N, C, T, H/8, W/8)
        n, c, t, *_ = maps.shape
        side = self.crop_size // self.patch_size
        cells = maps.transpose(1, 2).flatten(0, 1)  # (N*T, C, H/8, W/8)
        patches = F.adaptive_avg_pool2d(cells, side).flatten(2)  # (N*T, C, Z)
        return self.projection(patches.view(n, t, c, -1).transpose(2, 3))
