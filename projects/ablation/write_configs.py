"""Writes the configs of an ablation and prints, or runs, one command per training.

Every variant of a grid is trained with every seed on every fold; see README.md.
Finished runs are skipped, interrupted ones go on from their last checkpoint.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from mmtal_mts.utils.errors import UserError, run_tool
from mmtal_mts.utils.io import atomic_write

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Grid:
    """What an ablation varies; the fields are those of the YAML file.

    Attributes:
        work_dir: Folder of all configs and results.
        config: Config file.
        variants: Settings of each variant by dotted name; the first is the baseline.
        name: Title of the table.
        cfg_options: Settings of all runs, below those of the variants.
        folds: Annotation files of a cross-validation; ``None`` keeps the config's.
        seeds: Seeds of the trainings.
    """

    work_dir: Path
    config: str
    variants: Mapping[str, Mapping[str, Any]]
    name: str = 'Ablation'
    cfg_options: Mapping[str, Any] = field(default_factory=dict)
    folds: Sequence[Path | None] = (None,)
    seeds: Sequence[int] = (0,)


@dataclass(frozen=True)
class Run:
    """One training of a variant; its files are in ``root``."""

    variant: str
    fold: Path | None
    seed: int
    root: Path

    @property
    def config(self) -> Path:
        """Config of the variant on the fold."""
        return self.root / f'{self.fold.stem if self.fold else "all"}.py'

    @property
    def folder(self) -> Path:
        """Work dir of the training; its test is in ``test`` below."""
        return self.root / f'{self.config.stem}_seed{self.seed}'

    @property
    def result(self) -> Path | None:
        """The metrics that MMEngine writes after the test, or None."""
        return max(self.folder.glob('test/*/*.json'), default=None)

    def commands(self) -> tuple[list[str], list[str]]:
        """Trains; and tests, of which the checkpoint as the last argument is left."""
        train, test = (
            [sys.executable, str(ROOT / 'tools' / name), str(self.config), '--work-dir']
            for name in ('train.py', 'test.py')
        )
        train += [str(self.folder), f'--seed={self.seed}', '--no-validate', '--resume']
        return train, [*test, str(self.folder / 'test')]

    def line(self) -> str:
        """The same for a shell."""
        names = (*self.commands(), [f'{self.folder}/last_checkpoint'])
        return '{} && {} "$(cat {})"'.format(*map(shlex.join, names))

    def execute(self) -> bool:
        """Trains and tests without a shell; says whether both went well."""
        train, test = self.commands()
        last = self.folder / 'last_checkpoint'
        call = subprocess.call
        return not (call(train) or call([*test, last.read_text()]))


def read_grid(path: str | Path) -> Grid:
    """Reads a YAML file; paths in it are relative to the current folder.

    Raises:
        UserError: If a field is missing, unknown or of a wrong type.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
        grid = Grid(**content)
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise UserError(f'grid {path} cannot be read: {error}') from error
    folds = grid.folds
    if not all(type(seed) is int and seed >= 0 for seed in grid.seeds):
        raise UserError(f'grid {path}: seeds={grid.seeds}: expected numbers from 0')
    if isinstance(folds, str):
        folds = sorted(Path().glob(folds), key=lambda p: (len(p.name), p.name))
        if not folds:
            raise UserError(
                f'grid {path}: folds={grid.folds!r}: there is no such file. Remedy: '
                'make the annotation files first, see projects/timelines/README.md'
            )
    variants = {str(name): options or {} for name, options in grid.variants.items()}
    if len({slug(name) for name in variants}) < len(variants):
        raise UserError(f'grid {path}: two variants have the same folder; rename one')
    return replace(
        grid, work_dir=Path(grid.work_dir), variants=variants, folds=tuple(folds)
    )


def slug(name: str) -> str:
    """Name of a variant as a folder name."""
    return re.sub(r'[^\w.-]+', '_', name).strip('_')


def build_config(grid: Grid, variant: str, fold: Path | None) -> Config:
    """The complete config of a variant on a fold.

    Raises:
        UserError: If an option does not fit the config.
    """
    cfg = Config.fromfile(grid.config)
    options = {**grid.cfg_options, **grid.variants[variant]}
    if fold is not None:
        options |= {f'{name}_evaluator.ann_file': str(fold) for name in ('val', 'test')}
        for name in ('train', 'val', 'test'):
            options[f'{name}_dataloader.dataset.data_root'] = f'{fold.parent}/'
            options[f'{name}_dataloader.dataset.ann_file'] = fold.name
    for key, value in options.items():
        node = cfg  # MMEngine would silently add an option that nothing reads
        for name in key.split('.')[:-1] or [key]:
            try:
                node = node[int(name) if isinstance(node, list) else name]
            except (LookupError, AttributeError, TypeError, ValueError) as error:
                where = f'variant {variant!r}: {key}={value!r}'
                raise UserError(f'{where}: the config has no {name!r} there') from error
        cfg.merge_from_dict({key: value})
    return cfg


def list_runs(grid: Grid) -> list[Run]:
    """All runs, seed by seed and fold by fold: early results compare variants."""
    return [
        Run(variant, fold, seed, grid.work_dir / slug(variant))
        for seed in grid.seeds
        for fold in grid.folds
        for variant in grid.variants
    ]


def write_configs(grid: Grid) -> None:
    """Writes one config per variant and fold.

    Raises:
        UserError: If an option does not fit, or settings are not new.
    """
    texts: dict = {}
    for run in list_runs(replace(grid, seeds=grid.seeds[:1])):
        text = build_config(grid, run.variant, run.fold).pretty_text
        twin = texts.setdefault((run.fold, text), run.variant)
        if twin != run.variant:
            raise UserError(f'{twin!r} and {run.variant!r} have the same settings')
        if run.config.is_file() and run.config.read_text(encoding='utf-8') != text:
            raise UserError(
                f'{run.config} was written with other settings. Remedy: delete '
                f'{run.root}, or choose another work_dir'
            )
        with atomic_write(run.config) as temporary:
            temporary.write_text(text, encoding='utf-8')


def main() -> None:
    """Writes the configs, then prints or runs the commands that are left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('grid', help='YAML file, see projects/ablation/grids')
    parser.add_argument('--run', action='store_true', help='run them one after another')
    args = parser.parse_args()
    grid = read_grid(args.grid)
    write_configs(grid)
    runs = list_runs(grid)
    left = [run for run in runs if not run.result]
    print(f'{len(runs) - len(left)} of {len(runs)} runs are done', file=sys.stderr)
    failed = []
    for run in left:
        print(run.line(), flush=True)
        if args.run and not run.execute():
            failed.append(str(run.folder))
    if failed:
        raise UserError(f'these runs failed, see their logs: {", ".join(failed)}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
