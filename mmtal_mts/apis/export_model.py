"""What an exported network computes, and the facts that travel with it."""

from __future__ import annotations

import json
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmtal_mts.models.dense_heads import RAW_OUTPUTS
from mmtal_mts.models.detectors.tal_mts import DATA_PREPROCESSOR, TALMTS
from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import load_model_weights

OUTPUTS = {'raw': RAW_OUTPUTS, 'decoded': ('segments', 'scores')}
"""Names of the outputs by what the exported graph ends with."""


class ExportedDetector(nn.Module):
    """A detector from pixels, or features, to tensors: what is exported.

    Normalisation is part of it: frames go in as they were decoded, in 0..255.

    Args:
        model (TALMTS): Network with its weights.
        ends_with (str): 'raw' (what both heads say) or 'decoded' (segments and scores
            of every location, before threshold and NMS).
    """

    def __init__(self, model: TALMTS, ends_with: str = 'raw') -> None:
        super().__init__()
        self.model = model
        self.ends_with = ends_with
        for module in model.modules():
            if getattr(module, 'channels_last', False):
                # A layout of torch; a runtime chooses its own.
                module.channels_last = False
        preprocessor = model.data_preprocessor
        normalizes = preprocessor._enable_normalize
        mean = preprocessor.mean if normalizes else torch.zeros(())
        std = preprocessor.std if normalizes else torch.ones(())
        self.normalizes = normalizes
        self.register_buffer('mean', mean.detach().clone())
        self.register_buffer('std', std.detach().clone())

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Runs the network.

        Args:
            inputs: (N, C, T, H, W) float32 frames in 0..255, or (N, C, T) features.

        Returns:
            The outputs in the order of :data:`OUTPUTS`.
        """
        num_frames = inputs.shape[2]
        if self.normalizes:
            inputs = (inputs - self.mean) / self.std
        outputs = self.model(inputs, mode='tensor')
        if self.ends_with == 'decoded':
            return self.model.refine_head.decode(outputs, num_frames)
        return tuple(outputs[name] for name in OUTPUTS['raw'])


def build_exported(
    cfg: Config, weights: str, ends_with: str = 'raw'
) -> ExportedDetector:
    """Builds the network of a config with the weights of a checkpoint.

    Args:
        cfg (Config): Config of a :class:`.TALMTS`.
        weights (str): Checkpoint of it.
        ends_with (str): See :class:`ExportedDetector`.

    Returns:
        ExportedDetector: In testing mode.

    Raises:
        UserError: If the config is of another kind, or the checkpoint does not fit.
    """
    if ends_with not in OUTPUTS:
        raise UserError(f'ends_with={ends_with!r}: choose from {sorted(OUTPUTS)}')
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    settings = cfg.model.copy()
    if settings.get('type') != 'TALMTS':
        raise UserError(
            f'{cfg.filename}: model {settings.get("type")} cannot be exported. Remedy: '
            'export the network of each stream, and average their raw outputs'
        )
    if 'pretrained' in settings['backbone']:
        settings['backbone']['pretrained'] = None  # the checkpoint holds it
    model = MODELS.build(settings)
    load_model_weights(model, weights)
    return ExportedDetector(model.eval(), ends_with).eval()


def example_inputs(cfg: Config, batch_size: int = 2, seed: int = 0) -> Tensor:
    """Random inputs of the shape that a config asks for.

    Args:
        cfg (Config): With ``clip_len``, and ``crop_size`` or ``feature_channels``.
        batch_size (int): N.
        seed (int): Of the numbers.

    Returns:
        Tensor: (N, C, T, H, W) in 0..255, or (N, C, T) features.

    Raises:
        UserError: If the config does not tell.
    """
    generator = torch.Generator().manual_seed(seed)
    length = _setting(cfg, 'clip_len')
    channels = cfg.model.backbone.get('in_channels', 3)
    if cfg.model.backbone.type == 'FeatureEmbedding':
        shape: tuple[int, ...] = (batch_size, channels, length)
        return torch.randn(shape, generator=generator).relu()
    side = _setting(cfg, 'crop_size')
    # Neighbouring pixels and frames alike, as in videos; noise alone is none.
    small = torch.rand(batch_size, channels, 4, 4, 4, generator=generator)
    size = (length, side, side)
    clip = nn.functional.interpolate(small, size=size, mode='trilinear')
    noise = torch.rand(clip.shape, generator=generator)
    return (224 * clip + 31 * noise).floor()


def _setting(cfg: Config, name: str) -> int:
    value = cfg.get(name)
    if value is None:
        raise UserError(f'{cfg.filename}: needs {name} at its top level')
    return value


def model_facts(cfg: Config, exported: ExportedDetector) -> dict[str, str]:
    """What whoever runs the exported network has to know, as text.

    Args:
        cfg (Config): Its config.
        exported (ExportedDetector): The network.

    Returns:
        dict[str, str]: Values are JSON.
    """
    dataset = cfg.test_dataloader.dataset
    preprocessor = cfg.model.get('data_preprocessor') or DATA_PREPROCESSOR
    facts: dict[str, Any] = dict(
        ends_with=exported.ends_with,
        outputs=list(OUTPUTS[exported.ends_with]),
        num_classes=exported.model.coarse_head.num_classes,
        classes=list(dataset.get('classes') or []),
        clip_len=dataset.get('clip_len'),
        window_stride=dataset.get('window_stride'),
        sample_fps=dataset.get('sample_fps'),
        normalized_inside=dict(
            mean=list(preprocessor.get('mean') or []),
            std=list(preprocessor.get('std') or []),
        ),
    )
    return {f'mmtal_{name}': json.dumps(value) for name, value in facts.items()}
