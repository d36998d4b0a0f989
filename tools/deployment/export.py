"""Export a trained network to ONNX or torch.export, and check it against torch."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

try:
    import torch
    from mmengine.config import Config
    from torch import Tensor, nn

    from mmtal_mts.apis import (
        CfgOptionsAction,
        find_config,
        find_weights,
        init_model,
        load_config,
    )
    from mmtal_mts.apis.onnx_detector import OUTPUTS, OnnxDetector, import_package
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.io import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}')

# Values are compared within this of their size. Boundary regions are rounded to whole
# positions, so that a difference in the last digit may rarely pool a neighbour.
_TOLERANCE = 1e-3
_MAX_SHARE = 1e-3


class ExportedDetector(nn.Module):
    """A :class:`TALMTS` from pixels, or features, to tensors: what is exported.

    Normalisation is part of it: frames (N, C, T, H, W) float32 go in as they were
    decoded, in 0..255, or features (N, C, T). It ends with 'raw', what both heads say,
    or 'decoded', segments and scores of every location before threshold and NMS.
    """

    def __init__(self, cfg: Config, weights: str, ends_with: str = 'raw') -> None:
        super().__init__()
        if ends_with not in OUTPUTS:
            raise UserError(f'ends_with={ends_with!r}: choose from {sorted(OUTPUTS)}')
        if cfg.model.get('type') != 'TALMTS':
            raise UserError(
                f'{cfg.filename}: model {cfg.model.get("type")} cannot be exported. '
                'Remedy: export the network of each stream, and average their raw '
                'outputs'
            )
        self.model = init_model(cfg, weights, 'cpu')
        self.ends_with = ends_with
        for module in self.model.modules():
            if getattr(module, 'channels_last', False):
                # A layout of torch; a runtime chooses its own.
                module.channels_last = False
        self.normalizes = self.model.data_preprocessor._enable_normalize
        self.eval()

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of :data:`.OUTPUTS`."""
        num_frames = inputs.shape[2]
        if self.normalizes:
            preprocessor = self.model.data_preprocessor
            inputs = (inputs - preprocessor.mean) / preprocessor.std
        raw = self.model(inputs, mode='tensor')
        if self.ends_with == 'decoded':
            return self.model.refine_head.decode(raw, num_frames)
        return tuple(raw[name] for name in OUTPUTS['raw'])

    def facts(self, **others: int) -> dict[str, str]:
        """What a program that runs the exported network needs to know, as JSON."""
        dataset = self.model.cfg.test_dataloader.dataset
        names = ('clip_len', 'window_stride', 'sample_fps')
        preprocessor, inside = self.model.data_preprocessor, dict(mean=[], std=[])
        for name in inside if self.normalizes else ():
            inside[name] = getattr(preprocessor, name).flatten().tolist()
        facts = {name: dataset.get(name) for name in names} | others
        facts |= dict(
            ends_with=self.ends_with,
            outputs=OUTPUTS[self.ends_with],
            num_classes=self.model.coarse_head.num_classes,
            classes=dataset.get('classes') or [],
            normalized_inside=inside,
        )
        return {f'mmtal_{name}': json.dumps(value) for name, value in facts.items()}


def example_inputs(cfg: Config, batch_size: int = 2, seed: int = 0) -> Tensor:
    """Random frames (N, C, T, H, W) in 0..255, or features (N, C, T), of a config."""
    generator = torch.Generator().manual_seed(seed)
    backbone = cfg.model.backbone
    is_features = backbone.type == 'FeatureEmbedding'
    for name in ('clip_len',) if is_features else ('clip_len', 'crop_size'):
        if cfg.get(name) is None:
            raise UserError(f'{cfg.filename}: needs {name} at its top level')
    shape = (batch_size, backbone.get('in_channels', 3))
    if is_features:
        return torch.randn(*shape, cfg.clip_len, generator=generator).relu()
    # Smooth in space and time with a little noise, as videos are.
    small = torch.rand(*shape, 4, 4, 4, generator=generator)
    size = (cfg.clip_len, cfg.crop_size, cfg.crop_size)
    clip = nn.functional.interpolate(small, size=size, mode='trilinear')
    return (224 * clip + 31 * torch.rand(clip.shape, generator=generator)).floor()


@torch.no_grad()
def compare(
    exported: ExportedDetector,
    run: Callable[[Tensor], Sequence[Tensor]],
    batches: Sequence[Tensor],
) -> tuple[dict[str, float], float]:
    """Runs the network in torch and the exported one on the same batches.

    Returns:
        The largest absolute difference of each output, and the share of all values
        that differ by more than the tolerance.
    """
    worst, wrong = dict.fromkeys(OUTPUTS[exported.ends_with], 0.0), []
    for batch in batches:
        for name, a, b in zip(worst, exported(batch), run(batch), strict=True):
            difference = (a - b).abs()
            worst[name] = max(worst[name], float(difference.max()))
            # NaN is never within the tolerance.
            is_near = difference <= _TOLERANCE * a.abs().clamp(min=1)
            wrong.append(~is_near.flatten())
    return worst, float(torch.cat(wrong).double().mean()) if wrong else 0.0


@torch.no_grad()
def export_model(
    cfg: Config,
    weights: str,
    path: str | os.PathLike,
    ends_with: str = 'raw',
    batch_size: int = 1,
    num_checks: int = 3,
) -> str:
    """Exports a network and compares what the file computes with torch.

    Clip length and frame size are those of the config. The batch size is free in a
    ``.pt2`` file and fixed in an ``.onnx`` file. The file appears only if the
    comparison holds.

    Returns:
        How large the differences are, in words.

    Raises:
        UserError: A package is missing, or the results differ.
    """
    suffix = Path(path).suffix
    if suffix not in ('.onnx', '.pt2'):
        raise UserError(f'{path} must end with one of .onnx, .pt2')
    exported = ExportedDetector(cfg, weights, ends_with)
    with atomic_write(path) as temporary:
        if suffix == '.onnx':
            sizes = [batch_size]
            _export_onnx(exported, example_inputs(cfg, batch_size), str(temporary))
            run = OnnxDetector(str(temporary), cfg)
        else:
            sizes = [1, 2, 3]
            # Of one clip, the program would be for one clip alone.
            example = (example_inputs(cfg, 2),)
            shapes = ({0: torch.export.Dim('batch', min=1)},)
            program = torch.export.export(exported, example, dynamic_shapes=shapes)
            torch.export.save(program, temporary, extra_files=exported.facts())
            run = torch.export.load(temporary).module()
        batches = [
            example_inputs(cfg, sizes[i % len(sizes)], seed=i + 1)
            for i in range(num_checks)
        ]
        worst, share = compare(exported, run, batches)
        differences = ', '.join(f'{name} {value:.1e}' for name, value in worst.items())
        found = (
            f'{num_checks} batches; largest differences: {differences}; '
            f'{100 * share:.4f} % of the values differ by more than {_TOLERANCE:g} of '
            'their size'
        )
        if share > _MAX_SHARE:
            raise UserError(
                f'the exported network computes something else than torch ({found}); '
                f'{path} was not written. Remedy: another version of torch or of the '
                'runtime'
            )
    return found


def _export_onnx(exported: ExportedDetector, example: Tensor, path: str) -> None:
    """Writes the file, for batches of the size of the example."""
    onnx = import_package('onnx')
    with warnings.catch_warnings():
        # About sizes that become constants: all do.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            exported,
            (example,),
            path,
            input_names=['inputs'],
            output_names=list(OUTPUTS[exported.ends_with]),
            opset_version=18,
            dynamo=False,  # the exporter that needs no further package
        )
    model = onnx.load(path)
    facts = exported.facts(batch_size=len(example))
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Exports what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('model', help='config file, or its name')
    add('out', help='file to write: FILE.onnx, or FILE.pt2')
    add('--weights', help='checkpoint file (default: that of the model in zoo/)')
    text = (
        'raw: what both heads say (default); decoded: segments and scores of all '
        'locations, before threshold and NMS'
    )
    add('--ends-with', choices=sorted(OUTPUTS), default='raw', help=text)
    text = 'clips per batch of an .onnx file, where it is fixed (default: 1)'
    add('--batch-size', type=int, default=1, help=text)
    add('--checks', type=int, default=3, help='batches to compare (default: 3)')
    options = dict(nargs='+', action=CfgOptionsAction, metavar='KEY=VALUE')
    add('--cfg-options', **options, help='override settings of the config')
    args = parser.parse_args()
    cfg = load_config(find_config(args.model), args.cfg_options)
    weights = str(args.weights or find_weights(cfg.filename))
    settings = (args.ends_with, args.batch_size, args.checks)
    print(f'same as torch: {export_model(cfg, weights, args.out, *settings)}')
    print(f'wrote {args.out} ({os.path.getsize(args.out) / 1e6:.1f} MB)')


if __name__ == '__main__':
    sys.exit(run_tool(main))
