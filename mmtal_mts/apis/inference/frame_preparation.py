"""What becomes of each sampled frame before it is held for its windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from mmaction.datasets.transforms import CenterCrop, Resize

from mmtal_mts.datasets import LoadClip
from mmtal_mts.datasets.extraction import FlowEncoder, scale_frame
from mmtal_mts.datasets.transforms import AppendClip
from mmtal_mts.utils import UserError

_FRAME_STEPS = (Resize, CenterCrop)
"""Transforms that treat each frame by itself, always the same way."""


class FramePreparation:
    """Scales, crops, and computes flow, one frame after the other.

    Configs for arrays of frames or of flow find here what an extraction would have
    stored: scaled frames, and the flow between consecutive ones.

    Args:
        steps (Sequence[Callable]): The test pipeline.
        modality (str): 'RGB' or 'Flow', of its first source.
        frame_size (int, optional): Side in pixels to which frames are scaled first.
        flow_method (str): See :func:`mmtal_mts.datasets.extraction.build_flow`.

    Attributes:
        load_clip (LoadClip): First step of the pipeline.
        rest (list[Callable]): Steps that need whole windows.

    Raises:
        UserError: If the pipeline needs something else.
    """

    def __init__(
        self,
        steps: Sequence[Callable],
        modality: str,
        frame_size: int | None = None,
        flow_method: str = 'tvl1',
    ) -> None:
        steps = list(steps)
        if not steps or not isinstance(steps[0], LoadClip):
            raise UserError(
                'the test pipeline must begin with LoadClip to be used on videos, its '
                f'steps are {[type(step).__name__ for step in steps]}'
            )
        self.load_clip = steps.pop(0)
        self.modality = modality
        self.frame_size = frame_size
        self.flow_method = flow_method
        self._first = _take(steps, _FRAME_STEPS)
        self._two_streams = bool(steps) and isinstance(steps[0], AppendClip)
        self._pad_values = [self.load_clip.pad_value]
        if self._two_streams:
            second = steps.pop(0)
            if (modality, second.modality) != ('RGB', 'Flow'):
                raise UserError(
                    f'streams {modality} and {second.modality} cannot be made from a '
                    'video; RGB and Flow can'
                )
            self._pad_values = 3 * self._pad_values + 2 * [second.load.pad_value]
        self._last = _take(steps, _FRAME_STEPS)
        self.rest = steps
        if self._two_streams or modality == 'Flow':
            # An unknown or missing method should stop a run at its start.
            FlowEncoder(flow_method)

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields as many prepared frames as there are frames.

        Args:
            frames (Iterable[np.ndarray]): Sampled frames (H, W, 3) uint8 RGB.

        Yields:
            np.ndarray: (H', W', C) uint8: 3 channels of RGB, 2 of flow, or both.
        """
        frames = self.load_clip.shrink(frames)
        if self.modality == 'Flow':
            pairs = ((None, frame) for frame in self._scaled(frames))
            joined: Iterable[np.ndarray] = self._with_flow(pairs)
        elif self._two_streams:
            joined = self._with_flow(self._colour_and_scaled(frames))
        else:
            joined = self._scaled(frames)
        for image in joined:
            if not self._two_streams:
                image = _apply(self._first, image)
            yield _apply(self._last, image)

    def padding(self, image: np.ndarray) -> np.ndarray:
        """What stands for frames after the end of the video.

        Args:
            image (np.ndarray): (H, W, C) a prepared frame.

        Returns:
            np.ndarray: Of its shape.
        """
        return np.broadcast_to(np.array(self._pad_values, np.uint8), image.shape)

    def _scaled(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Frames of the size that an extraction would have stored."""
        for frame in frames:
            if self.frame_size is not None:
                frame = scale_frame(frame, self.frame_size, self.frame_size)
            yield frame

    def _colour_and_scaled(
        self, frames: Iterable[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """RGB of the first stream, and the same frame for the flow at its size."""
        for frame in frames:
            (scaled,) = self._scaled([frame])
            colour = _apply(self._first, scaled)
            height, width = colour.shape[:2]
            yield colour, scale_frame(frame, width, height)

    def _with_flow(
        self, pairs: Iterable[tuple[np.ndarray | None, np.ndarray]]
    ) -> Iterator[np.ndarray]:
        """Flow from each frame to the next, behind the channels of the first."""
        encoder = FlowEncoder(self.flow_method)
        shape, before, seen = None, None, False
        for colour, frame in pairs:
            if seen and frame.shape != shape:
                raise UserError(
                    f'the picture changes its size from {shape} to {frame.shape}, and '
                    'flow needs frames of one size. Remedy: --frame-size'
                )
            flow = encoder.push(frame)
            if flow is not None:
                yield _join(before, flow)
            shape, before, seen = frame.shape, colour, True
        if seen:
            yield _join(before, encoder.finish())


def describe(images: Sequence[np.ndarray]) -> dict:
    """The keys that MMAction2's transforms want beside the pictures.

    Args:
        images (Sequence[np.ndarray]): Of one size.

    Returns:
        dict: Results as :class:`LoadClip` leaves them.
    """
    shape = images[0].shape[:2]
    return dict(
        imgs=list(images),
        img_shape=shape,
        original_shape=shape,
        modality='RGB',
        num_clips=1,
    )


def _take(steps: list[Callable], kinds: tuple[type, ...]) -> list[Callable]:
    """Removes the first steps while they are of some kinds."""
    taken = []
    while steps and isinstance(steps[0], kinds):
        taken.append(steps.pop(0))
    return taken


def _apply(steps: Sequence[Callable], image: np.ndarray) -> np.ndarray:
    results = describe([image])
    for step in steps:
        results = step(results)
    return results['imgs'][0]


def _join(colour: np.ndarray | None, flow: np.ndarray) -> np.ndarray:
    return flow if colour is None else np.concatenate([colour, flow], axis=2)
