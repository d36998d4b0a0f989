"""Tables of the models, for people, from the metafiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtal_mts.utils import UserError

from .index import INDEX, ModelInfo, read_index
from .weights import FOLDER

BEGIN = '<!-- begin: written by tools/misc/make_model_zoo.py -->'
END = '<!-- end -->'
_NOTHING = ''


def tables(root: Path) -> dict[Path, str]:
    """Renders all tables of the repository.

    Args:
        root: Root of the repository.

    Returns:
        Markdown by the file in which it belongs, between ``BEGIN`` and ``END``.
    """
    models = read_index(root / INDEX)
    released = [model for model in models if model.weights is not None]
    return {
        root / 'README.md': _overview(models),
        root / 'docs/model_zoo.md': f'{_measured(models)}\n\n{_configs(models)}',
        root / FOLDER / 'README.md': _files(released),
    }


def with_table(path: Path, table: str) -> str:
    """Puts a table into a file.

    Args:
        path: File with the lines ``BEGIN`` and ``END``.
        table: Markdown.

    Returns:
        The new content of the file.

    Raises:
        UserError: If the lines are not there.
    """
    text = path.read_text(encoding='utf-8')
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(
            f'{path} lacks the lines {BEGIN!r} and {END!r}. Remedy: add them where the '
            'table belongs'
        )
    return f'{before}{BEGIN}\n\n{table}\n\n{END}{after}'


def average(metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """The mAP that is averaged over the most thresholds.

    Args:
        metrics: Percent by name, averages like 'mAP@0.3:0.7'.

    Returns:
        Range of the thresholds and percent, or None if there is no average. Of several
        the one that starts at 0.3 or above, as papers compare them.
    """
    averages = {
        name.partition('@')[2]: value for name, value in metrics.items() if ':' in name
    }
    for thresholds in ('0.3:0.7', '0.5:0.95', *averages):
        if thresholds in averages:
            return thresholds, averages[thresholds]
    return None


def _overview(models: Sequence[ModelInfo]) -> str:
    """What the README shows: what can be used, and what the paper promises."""
    rows = []
    for model in models:
        if model.weights is not None:
            where = f'[{FOLDER}/]({FOLDER}/README.md)'
            rows.append([model, _percent(model.measured), 'here', where])
        elif model.paper and 'Flow' in model.modality and 'RGB' in model.modality:
            rows.append([model, _percent(model.paper), 'the paper', 'train it'])
    return _table(
        ['model', 'data', 'average mAP', 'measured by', 'weights'],
        [
            [f'[`{model.name}`]({model.config})', model.data, *rest]
            for model, *rest in rows
        ],
    )


def _measured(models: Sequence[ModelInfo]) -> str:
    """All our own results, threshold by threshold."""
    rows = []
    for model in models:
        if not model.measured:
            continue
        values = ', '.join(
            f'{value:.1f} @{name.partition("@")[2]}'
            for name, value in model.measured.items()
        )
        weights = f'`{FOLDER}/{model.weights}`' if model.weights else _NOTHING
        command = f'`{model.command}`' if model.command else _NOTHING
        rows.append([f'`{model.name}`', model.data, values, command, weights])
    table = _table(['model', 'data', 'mAP in %, @tIoU', 'by', 'weights'], rows)
    return f'## Measured here\n\n{table}'


def _configs(models: Sequence[ModelInfo]) -> str:
    """Every config, with the paper's results where it reports some."""
    parts = []
    for collection in dict.fromkeys(model.collection for model in models):
        rows = [
            [
                f'`{Path(model.config).name}`',
                model.data,
                model.modality,
                str(model.epochs) if model.epochs else _NOTHING,
                f'{model.parameters:,}',
                _percent(model.paper),
                _percent(model.measured),
            ]
            for model in models
            if model.collection == collection
        ]
        head = ['config', 'data', 'stream', 'epochs', 'parameters', 'paper', 'here']
        folder = next(
            Path(m.config).parent for m in models if m.collection == collection
        )
        parts.append(
            f'## {collection}\n\nIn `{folder}/`; average mAP.\n\n{_table(head, rows)}'
        )
    return '\n\n'.join(parts)


def _files(released: Sequence[ModelInfo]) -> str:
    """The files of the zoo."""
    return _table(
        ['file', 'config', 'trained by', 'data', 'average mAP'],
        [
            [
                f'`{model.weights}`',
                f'`{model.config}`',
                f'`{model.command}`' if model.command else _NOTHING,
                model.data,
                _percent(model.measured),
            ]
            for model in released
        ],
    )


def _percent(metrics: Mapping[str, float]) -> str:
    found = average(metrics)
    return _NOTHING if found is None else f'{found[1]:.1f} % ({found[0]})'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
