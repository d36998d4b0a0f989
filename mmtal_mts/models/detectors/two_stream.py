from __future__ import annotations

from collections.abc import Sequence

from mmaction.registry import MODELS, TASK_UTILS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

from .tal_mts import as_clips


@MODELS.register_module()
class TwoStreamTALMTS(BaseModel):
    """Two networks, RGB and flow, whose raw outputs are averaged and decoded once.

    For testing: each network is trained by a config of its own, and
    ``tools/model_converters/join_streams.py`` makes one checkpoint of both.

    Args:
        rgb: Config of the network of the first channels.
        flow: Config of the network of the channels that follow.
        channels: Number of channels of each.
        weights: Weight of each stream in the average; only their ratio matters.
        decoder: Config of the decoder; by default that of ``rgb``.
        data_preprocessor: Config of the data preprocessor; by default that of
            ``rgb``.
        keep_raw: Whether predictions carry the averaged raw outputs, see
            :class:`TALMTS`.
        init_cfg: MMEngine initialisation config.

    Raises:
        ValueError: If the networks do not belong together, or a weight is unusable.
    """

    def __init__(
        self,
        rgb: dict,
        flow: dict,
        channels: Sequence[int] = (3, 2),
        weights: Sequence[float] = (1.0, 1.0),
        decoder: dict | None = None,
        data_preprocessor: dict | None = None,
        keep_raw: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            MODELS.build(data_preprocessor or rgb['data_preprocessor']), init_cfg
        )
        self.rgb = MODELS.build(rgb)
        self.flow = MODELS.build(flow)
        classes = [net.coarse_head.num_classes for net in (self.rgb, self.flow)]
        if classes[0] != classes[1]:
            raise ValueError(
                f'rgb has num_classes={classes[0]}, but flow has '
                f'num_classes={classes[1]}: both must know the same classes'
            )
        self.channels = tuple(channels)
        self.weights = tuple(weights)
        self.decoder = (
            TASK_UTILS.build(decoder) if decoder is not None else self.rgb.decoder
        )
        self.decoder.check_weights(self.weights, 2)
        sigmoid = [part.use_sigmoid for part in (self.rgb.decoder, self.flow.decoder)]
        if sigmoid != [self.decoder.use_sigmoid] * 2:
            raise ValueError(
                f'rgb has decoder.use_sigmoid={sigmoid[0]}, flow has '
                f'decoder.use_sigmoid={sigmoid[1]}, and their average is decoded with '
                f'use_sigmoid={self.decoder.use_sigmoid}: all must be the same'
            )
        self.keep_raw = keep_raw

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ActionDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[ActionDataSample]:
        """Runs both networks.

        Args:
            inputs: (N, C, T, H, W) normalised frames, the channels of both streams
                one after the other.
            data_samples: See :meth:`TALMTS.forward`; for ``predict``.
            mode: ``'predict'`` or ``'tensor'``.

        Returns:
            As :meth:`TALMTS.forward`; with ``'tensor'`` the averaged raw outputs.

        Raises:
            ValueError: Another mode, or inputs of another shape.
        """
        frames = as_clips(inputs)
        if mode == 'tensor':
            return self.decoder.mean_outputs(self.extract(frames), self.weights)
        if mode == 'predict':
            return self.predict(frames, data_samples)
        if mode == 'loss':
            raise ValueError(
                'TwoStreamTALMTS does not train: train its networks by the configs of '
                'the streams, then join the checkpoints with '
                'tools/model_converters/join_streams.py'
            )
        raise ValueError(f"mode={mode!r}: choose 'predict' or 'tensor'")

    def extract(self, frames: Tensor) -> list[dict[str, Tensor]]:
        """Runs both networks on (N, C, T, H, W) frames; returns their raw outputs."""
        if frames.shape[1] != sum(self.channels):
            raise ValueError(
                f'inputs have {frames.shape[1]} channels, but the streams take '
                f'{" + ".join(map(str, self.channels))}; AppendClip in the pipeline '
                'adds those of the second stream'
            )
        clips = frames.split(self.channels, dim=1)
        return [
            net(clip.contiguous(), mode='tensor')
            for net, clip in zip((self.rgb, self.flow), clips)
        ]

    def predict(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Decodes the average of both networks; see :meth:`TALMTS.forward`."""
        return self.decoder.predict_streams(
            self.extract(frames),
            frames.shape[2],
            data_samples,
            self.weights,
            keep_raw=self.keep_raw,
        )
