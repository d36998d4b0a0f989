"""Writes the tables of models in README.md, docs/model_zoo.md and zoo/README.md.

What they say comes from configs/*/metafile.yml, and from zoo/NAME.modules.json, which
is what tools/analysis_tools/module_contribution.py NAME --json prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtal_mts.apis.model_zoo import metafile_entries
from mmtal_mts.utils import UserError, read_json, run_tool
from mmtal_mts.utils.io import atomic_write

ROOT = Path(__file__).resolve().parents[1]
BEGIN = '<!-- begin: written by .dev_scripts/make_model_zoo.py -->'
END = '<!-- end -->'
FOLDER = 'zoo'
_NOTHING = ''


@dataclass(frozen=True)
class ModelInfo:
    """What the metafiles say of a model; metrics are in percent."""

    name: str
    collection: str
    config: str
    data: str
    modality: str
    epochs: int | None
    parameters: int
    weights: str | None
    command: str | None
    measured: Mapping[str, float]
    paper: Mapping[str, float]

    @classmethod
    def from_entry(cls, entry: Mapping) -> ModelInfo:
        """Takes the entry of a metafile.

        Raises:
            UserError: It lacks a field.
        """
        try:
            metadata, weights = entry['Metadata'], entry.get('Weights')
            measured: dict[str, float] = {}
            for result in entry.get('Results', ()):
                measured.update(result['Metrics'])
            return cls(
                name=entry['Name'],
                collection=entry['In Collection'],
                config=entry['Config'],
                data=metadata['Training Data'],
                modality=metadata['Modality'],
                epochs=metadata.get('Epochs'),
                parameters=metadata['Parameters'],
                weights=weights and Path(weights).name,
                command=metadata.get('Command'),
                measured=measured,
                paper=metadata.get('Paper Metrics', {}),
            )
        except KeyError as error:
            raise UserError(
                f'model {entry["Name"]!r} of the metafiles lacks the field {error}. '
                'Remedy: fill it in as the other models do'
            ) from error


def tables(root: Path) -> dict[Path, str]:
    """Renders all tables of the repository.

    Args:
        root: Root of the repository.

    Returns:
        Markdown by the file in which it belongs, between ``BEGIN`` and ``END``.
    """
    models = [ModelInfo.from_entry(entry) for entry in metafile_entries().values()]
    released = [model for model in models if model.weights is not None]
    parts = _measured(models), _contributions(released, root / FOLDER), _configs(models)
    return {
        root / 'README.md': _overview(models),
        root / 'docs/model_zoo.md': '\n\n'.join(parts),
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


def _contributions(released: Sequence[ModelInfo], folder: Path) -> str:
    """What RFP, STT and FSA contribute to each model that was measured."""
    rows = []
    for model in released:
        path = folder / f'{model.name}.modules.json'
        if not path.is_file():
            continue
        result = read_json(path)
        for module, values in result['modules'].items():
            scores = result['as_released'], values['zero'], values['other_clip']
            shares = values['entropy'], values['energy_over_time']
            row = [f'`{model.name}`', module.upper(), *(f'{x:.1f}' for x in scores)]
            rows.append(row + [_NOTHING if x is None else f'{x:.2f}' for x in shares])
    head = ['model', 'module', 'as released', 'zeros', 'other clip']
    table = _table([*head, 'entropy', 'energy over time'], rows)
    by = '`python tools/analysis_tools/module_contribution.py NAME`'
    text = f'Average mAP in % with the output of a module replaced, by {by}'
    link = '[what it says](analysis.md#what-rfp-stt-and-fsa-contribute)'
    return f'## What the modules contribute\n\n{text} ({link}).\n\n{table}'


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


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--root',
        type=Path,
        default=ROOT,
        help='root of the repository (default: that of this tool)',
    )
    parser.add_argument(
        '--check', action='store_true', help='write nothing, fail if a table is old'
    )
    return parser.parse_args()


def main() -> None:
    """Writes or checks the tables."""
    args = parse_args()
    old = False
    for path, table in tables(args.root).items():
        content = with_table(path, table)
        if content == path.read_text(encoding='utf-8'):
            continue
        old = True
        print(f'{path} is {"old" if args.check else "written"}')
        if not args.check:
            with atomic_write(path) as temporary:
                temporary.write_text(content, encoding='utf-8')
    if args.check and old:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
