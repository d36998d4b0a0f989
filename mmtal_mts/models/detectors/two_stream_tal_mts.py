"""Two detectors side by side, and fusion of their raw outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ..dense_heads import (
    RAW_OUTPUTS,
    BoundaryRefineHead,
    add_pred_to_datasample,
    complete_test_cfg,
)
from .tal_mts import DATA_PREPROCESSOR, BaseTALDetector, check_heads_agree


def check_weights(weights: Sequence[float] | None, num_streams: int) -> list[float]:
    """Weights with a sum of 1, all the same for ``None``, or a ValueError."""
    weights = [1.0] * num_streams if weights is None else weights
    total = sum(weights)
    if len(weights) != num_streams or min(weights) < 0 or not 0 < total < math.inf:
        raise ValueError(
            f'weights={list(weights)}: give one number >= 0 for each of the '
            f'{num_streams} streams, at least one of them positive'
        )
    return [weight / total for weight in weights]


def mean_raw_outputs(
    streams: Sequence[dict[str, Tensor]], weights: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """Averages the raw outputs of several networks that saw the same clips.

    Args:
        streams: Per network the :func:`~mmtal_mts.models.dense_heads.raw_outputs`,
            with equal points.
        weights: Weight of each stream; ``None`` weighs all the same.
    """
    pairs = list(zip(check_weights(weights, len(streams)), streams, strict=True))
    mean = {
        key: sum(weight * stream[key].float() for weight, stream in pairs)
        for key in RAW_OUTPUTS[1:]
    }
    return dict(points=streams[0]['points'], **mean)


def predict_streams(
    head: BoundaryRefineHead,
    streams: Sequence[dict[str, Tensor]],
    num_frames: int,
    data_samples: Sequence[ActionDataSample],
    test_cfg: dict,
    weights: Sequence[float] | None = None,
    keep_raw: bool = False,
) -> list[ActionDataSample]:
    """Detections of several networks (RGB and flow) that saw the same clips.

    Logits are averaged before the softmax. With ``test_cfg['fusion'] == 'raw'`` so are
    distances and offsets; with ``'geometric'`` each network's segments are decoded and
    the geometric mean of starts and of ends is taken (AFSD on ActivityNet).

    Args:
        head: Refine head of any of the networks, also one without weights
            (:func:`refine_head_without_weights`): it decodes and scores.
        streams: See :func:`mean_raw_outputs`; a single network is fine.
        num_frames: Frames T of the clip.
        data_samples: See :meth:`BoundaryRefineHead.predict_by_feat`.
        test_cfg: All of the settings, see
            :func:`~mmtal_mts.models.dense_heads.complete_test_cfg`.
        weights: Weight of each stream; ``None`` weighs all the same.
        keep_raw: Whether to keep the averaged raw outputs as ``raw_outputs``.

    Returns:
        The data samples, with ``pred_instances`` in seconds of the video, before NMS,
        and ``test_cfg`` in the metainfo.
    """
    mean, segments = mean_raw_outputs(streams, weights), None
    if test_cfg['fusion'] == 'geometric':
        weights = check_weights(weights, len(streams))
        segments = math.prod(
            head.decode(stream, num_frames)[0] ** weight
            for weight, stream in zip(weights, streams, strict=True)
        )  # (N, P, 2)
    found = head.predict_by_feat(mean, num_frames, data_samples, test_cfg, segments)
    return add_pred_to_datasample(
        data_samples, found, test_cfg, mean if keep_raw else None, num_frames
    )


def refine_head_without_weights(model: dict) -> BoundaryRefineHead:
    """The refine head of a model, to decode saved raw outputs with.

    Args:
        model: Config of a :class:`TALMTS` or :class:`TwoStreamTALMTS`.

    Returns:
        On torch's meta device, where parameters take neither time nor memory.
    """
    with torch.device('meta'):
        return MODELS.build(model.get('rgb', model)['refine_head'])


@MODELS.register_module()
class TwoStreamTALMTS(BaseTALDetector):
    """Two networks, RGB and flow, whose raw outputs are averaged and decoded once.

    For testing: each network is trained by a config of its own, and
    ``tools/model_converters/join_streams.py`` makes one checkpoint of both.

    Args:
        rgb: Config of the network of the first channels.
        flow: Config of the network of the channels that follow.
        channels: Number of channels of each.
        weights: Weight of each stream in the average; only their ratio matters.
        test_cfg: See :class:`TALMTS`; by default that of ``rgb``. ``fusion`` is
            explained by :func:`predict_streams`.
        keep_raw: Whether predictions carry the averaged raw outputs, see
            :class:`TALMTS`.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        rgb: dict,
        flow: dict,
        channels: Sequence[int] = (3, 2),
        weights: Sequence[float] = (1.0, 1.0),
        test_cfg: dict | None = None,
        keep_raw: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = rgb.get('data_preprocessor') or DATA_PREPROCESSOR
        super().__init__(MODELS.build(preprocessor), init_cfg)
        self.test_cfg = complete_test_cfg(test_cfg or rgb.get('test_cfg'))
        self.keep_raw = keep_raw
        self.rgb = MODELS.build(rgb)
        self.flow = MODELS.build(flow)
        check_heads_agree(rgb=self.rgb.coarse_head, flow=self.flow.coarse_head)
        self.channels = tuple(channels)
        self.weights = check_weights(weights, 2)

    def _streams(self, frames: Tensor) -> list[dict[str, Tensor]]:
        """Raw outputs of each network; the channels of both follow each other."""
        if frames.shape[1] != sum(self.channels):
            raise ValueError(
                f'inputs have {frames.shape[1]} channels, but the streams take '
                f'{" + ".join(map(str, self.channels))}; AppendClip in the pipeline '
                'adds those of the second stream'
            )
        clips = frames.split(self.channels, dim=1)
        return [
            net(clip.contiguous(), mode='tensor')
            for net, clip in zip((self.rgb, self.flow), clips, strict=True)
        ]

    def _forward(self, frames: Tensor) -> dict[str, Tensor]:
        """The averaged raw outputs of (N, C, T, H, W) frames."""
        return mean_raw_outputs(self._streams(frames), self.weights)

    def loss(self, frames: Tensor, data_samples: Sequence[ActionDataSample]) -> None:
        """There is none: a ValueError says how to train."""
        raise ValueError(
            'TwoStreamTALMTS does not train: train its networks by the configs of '
            'the streams, then join the checkpoints with '
            'tools/model_converters/join_streams.py'
        )

    def predict(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Detections of the average of both; see :meth:`TALMTS.forward`."""
        return predict_streams(
            self.rgb.refine_head,
            self._streams(frames),
            frames.shape[2],
            data_samples,
            self.test_cfg,
            self.weights,
            self.keep_raw,
        )
