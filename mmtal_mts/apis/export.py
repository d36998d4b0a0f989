"""Export of a trained network to ONNX and to torch.export, checked against torch."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import atomic_write

from .export_model import (
    OUTPUTS,
    ExportedDetector,
    build_exported,
    example_inputs,
    model_facts,
)

FORMATS = {'onnx': '.onnx', 'torch': '.pt2'}
"""Formats and the extensions of their files."""
_OPSET = 18
# Values are compared within this of their size. Boundary regions are rounded to whole
# positions, so that a difference in the last digit may rarely pool a neighbour.
_TOLERANCE = 1e-3
_MAX_SHARE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """How close an exported network is to the one in torch.

    Attributes:
        num_inputs (int): Batches that were compared.
        max_difference (dict): Largest absolute difference of each output.
        share (float): Of all values, those that differ by more than the tolerance.
    """

    num_inputs: int
    max_difference: dict[str, float]
    share: float

    def __str__(self) -> str:
        worst = ', '.join(f'{k} {v:.1e}' for k, v in self.max_difference.items())
        return (
            f'{self.num_inputs} batches; largest differences: {worst}; '
            f'{100 * self.share:.4f} % of the values differ by more than '
            f'{_TOLERANCE:g} of their size'
        )


def export_model(
    cfg: Config,
    weights: str,
    path: str | Path,
    ends_with: str = 'raw',
    batch_size: int = 1,
    num_checks: int = 3,
) -> Comparison:
    """Exports a network and compares what the file computes with torch.

    Clip length and frame size are those of the config. The batch size is free in a
    ``.pt2`` file and fixed in an ``.onnx`` file.

    Args:
        cfg (Config): Config of a :class:`~mmtal_mts.models.TALMTS`.
        weights (str): Checkpoint of it.
        path (str | Path): File to write: ``.onnx`` or ``.pt2`` (torch.export). It
            appears only if the comparison holds.
        ends_with (str): See :class:`.ExportedDetector`.
        batch_size (int): Clips per batch of an ``.onnx`` file.
        num_checks (int): Random batches to compare.

    Returns:
        Comparison: What was compared.

    Raises:
        UserError: If a package is missing, or the results differ.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS.values():
        raise UserError(f'{path} must end with one of {", ".join(FORMATS.values())}')
    exported = build_exported(cfg, weights, ends_with)
    with atomic_write(path) as temporary, torch.no_grad():
        facts = model_facts(cfg, exported)
        if suffix == '.onnx':
            facts['mmtal_batch_size'] = json.dumps(batch_size)
            _export_onnx(exported, example_inputs(cfg, batch_size), temporary, facts)
            run = onnx_function(temporary)
            sizes = [batch_size]
        else:
            # Of one clip, the program would be for one clip alone.
            _export_torch(exported, example_inputs(cfg, 2), temporary, facts)
            run = torch_function(temporary)
            sizes = [1, 2, 3]
        batches = [
            example_inputs(cfg, sizes[i % len(sizes)], seed=i + 1)
            for i in range(num_checks)
        ]
        found = compare(exported, run, batches)
        if found.share > _MAX_SHARE:
            raise UserError(
                f'the exported network computes something else than torch ({found}); '
                f'{path} was not written. Remedy: another version of torch or of the '
                'runtime'
            )
    return found


def compare(
    exported: ExportedDetector,
    run: Callable[[Tensor], Sequence[np.ndarray]],
    batches: Sequence[Tensor],
) -> Comparison:
    """Runs both on the same batches.

    Args:
        exported (ExportedDetector): In torch.
        run (Callable): The exported network.
        batches (Sequence[Tensor]): Inputs.

    Returns:
        Comparison: All batches together.
    """
    names = OUTPUTS[exported.ends_with]
    worst = dict.fromkeys(names, 0.0)
    wrong = total = 0
    for batch in batches:
        with torch.no_grad():
            wanted = [value.numpy() for value in exported(batch)]
        for name, a, b in zip(names, wanted, run(batch)):
            difference = np.abs(a - b)
            worst[name] = max(worst[name], float(difference.max()))
            # NaN is never within the tolerance.
            close = difference <= _TOLERANCE * np.maximum(np.abs(a), 1)
            wrong += int((~close).sum())
            total += close.size
    return Comparison(len(batches), worst, wrong / max(total, 1))


def _export_onnx(
    exported: ExportedDetector, example: Tensor, path: Path, facts: dict[str, str]
) -> None:
    try:
        import onnx
    except ImportError as error:
        raise UserError(_missing('onnx', error)) from error
    options: dict = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        # The exporter that needs no further package.
        options['dynamo'] = False
    names = OUTPUTS[exported.ends_with]
    with warnings.catch_warnings():
        # About sizes that become constants: all do.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            exported,
            (example,),
            str(path),
            input_names=['inputs'],
            output_names=list(names),
            opset_version=_OPSET,
            **options,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _export_torch(
    exported: ExportedDetector, example: Tensor, path: Path, facts: dict[str, str]
) -> None:
    if not hasattr(torch, 'export'):
        raise UserError(
            f'torch {torch.__version__} has no torch.export. Remedy: torch >= 2.1, or '
            'export to .onnx'
        )
    shapes = ({0: torch.export.Dim('batch', min=1)},)
    program = torch.export.export(exported, (example,), dynamic_shapes=shapes)
    torch.export.save(program, str(path), extra_files=facts)


def onnx_function(
    path: str | Path, providers: Sequence[str] = ('CPUExecutionProvider',)
) -> Callable[[Tensor], list[np.ndarray]]:
    """Loads an ONNX file into onnxruntime.

    Args:
        path (str | Path): File.
        providers (Sequence[str]): Where it runs, see onnxruntime.

    Returns:
        Callable: From inputs to outputs.

    Raises:
        UserError: If onnxruntime is missing or cannot load the file.
    """
    session = onnx_session(path, providers)

    def run(inputs: Tensor) -> list[np.ndarray]:
        return session.run(None, {'inputs': inputs.cpu().numpy()})

    return run


def onnx_session(path: str | Path, providers: Sequence[str]):
    """Opens an ONNX file; see :func:`onnx_function`."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(_missing('onnxruntime', error)) from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=list(providers))
    # Its exceptions have no common base.
    except Exception as error:
        raise UserError(f'{path}: onnxruntime cannot load it: {error}') from error


def torch_function(path: str | Path) -> Callable[[Tensor], list[np.ndarray]]:
    """Loads a ``.pt2`` file of torch.export.

    Args:
        path (str | Path): File.

    Returns:
        Callable: From inputs to outputs.
    """
    module = torch.export.load(str(path)).module()

    def run(inputs: Tensor) -> list[np.ndarray]:
        with torch.no_grad():
            return [value.numpy() for value in module(inputs)]

    return run


def _missing(package: str, error: ImportError) -> str:
    return (
        f'{package} is not installed ({error}). Remedy: pip install '
        '-r requirements/export.txt'
    )
