"""What the metafiles beside the configs say of the models."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from mmtal_mts.utils import UserError
from mmtal_mts.utils.shipped_files import shipped_folders

INDEX = 'model-index.yml'


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model.

    Attributes:
        name: Name of its config without ``.py``.
        collection: The method, e.g. 'TAL-MTS'.
        config: Path of the config from the root of the repository.
        data: Data set, e.g. 'THUMOS14'.
        modality: 'RGB', 'Flow' or 'RGB, Flow'.
        epochs: Epochs of the training; None for a model that is joined of two.
        parameters: Number of its parameters.
        weights: Name of the released file, or None.
        command: What trained and measured it, or None.
        measured: Our own results in percent, by metric.
        paper: Results that the paper reports for these settings, in percent.
    """

    name: str
    collection: str
    config: str
    data: str
    modality: str
    epochs: int | None
    parameters: int
    weights: str | None = None
    command: str | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)


def read_index(path: Path) -> list[ModelInfo]:
    """Reads all models of a ``model-index.yml``.

    Args:
        path: The file.

    Returns:
        The models in the order of the metafiles.

    Raises:
        UserError: If a metafile is missing, or an entry lacks a field.
    """
    models: list[ModelInfo] = []
    for name in _load(path)['Import']:
        file = path.parent / name
        for entry in _load(file)['Models']:
            try:
                models.append(_model(entry))
            except KeyError as error:
                raise UserError(
                    f'{file}: model {entry.get("Name", "without a Name")!r} lacks the '
                    f'field {error}. Remedy: fill it in as the other models do'
                ) from error
    return models


def list_models(pattern: str = '*', *, with_weights: bool = False) -> list[str]:
    """Lists the models that can be asked for by name.

    Args:
        pattern (str): Only names like this, with ``*`` and ``?``.
        with_weights (bool): Only those with released weights.

    Returns:
        list[str]: Names, in the order of the metafiles.

    Example:
        >>> list_models('*thumos14-rgb')
        ['afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb', ...]
    """
    return [
        model.name
        for model in _models()
        if fnmatch.fnmatchcase(model.name, pattern)
        and not (with_weights and model.weights is None)
    ]


def model_info(name: str) -> ModelInfo:
    """Says what is known of a model.

    Args:
        name (str): Its name, see :func:`list_models`.

    Returns:
        ModelInfo: From its metafile.

    Raises:
        UserError: If no metafile lists it.
    """
    for model in _models():
        if model.name == name:
            return model
    raise UserError(
        f'model {name!r} is in no metafile. Remedy: choose one of '
        f'mmtal_mts.apis.list_models(), or give a config file and a checkpoint'
    )


def _models() -> list[ModelInfo]:
    """The models of the clone or of the installed wheel."""
    for path in shipped_folders(INDEX):
        # The folder in which a person is may have an index of its own.
        if (path.parent / 'configs/tal_mts').is_dir():
            return read_index(path)
    return []


def _load(path: Path) -> dict:
    try:
        return yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            f'{path} cannot be read ({error}). Remedy: reinstall mmtal_mts, or '
            'correct the file'
        ) from error


def _model(entry: Mapping) -> ModelInfo:
    metadata = entry['Metadata']
    measured: dict[str, float] = {}
    for result in entry.get('Results', ()):
        measured.update(result['Metrics'])
    weights = entry.get('Weights')
    return ModelInfo(
        name=entry['Name'],
        collection=entry['In Collection'],
        config=entry['Config'],
        data=metadata['Training Data'],
        modality=metadata['Modality'],
        epochs=metadata.get('Epochs'),
        parameters=metadata['Parameters'],
        weights=None if weights is None else Path(weights).name,
        command=metadata.get('Command'),
        measured=measured,
        paper=dict(metadata.get('Paper Metrics', {})),
    )
