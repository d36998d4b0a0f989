"""What an ablation varies: the plan, a JSON file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtal_mts.utils import UserError, read_text

from .plan_fields import PlanFields, check_unique

_FOLD_FILE = re.compile(r'annotations_fold(\d+)\.json')


@dataclass(frozen=True)
class Variant:
    """One line of the table.

    Attributes:
        name (str): Of the line, and of its folder.
        config (str): Config file.
        cfg_options (Mapping[str, Any]): Settings by dotted name, over the config.
        value (float, optional): Place on the axis of a curve.
    """

    name: str
    config: str
    cfg_options: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None


@dataclass(frozen=True)
class Fold:
    """One split of the data into training and testing.

    Attributes:
        name (str): Of its folder.
        ann_file (str, optional): Annotation with this split.
        data_root (str, optional): Folder that ``ann_file`` and videos are in.
        cfg_options (Mapping[str, Any]): Settings by dotted name, over all others.
    """

    name: str
    ann_file: str | None = None
    data_root: str | None = None
    cfg_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationPlan:
    """Every variant is trained with every seed on every fold.

    Attributes:
        path (str): The file.
        name (str): Title of table and plot.
        work_dir (str): Folder of all results.
        variants (tuple[Variant, ...]): The first is what the others are compared to.
        folds (tuple[Fold, ...]): Of the cross-validation.
        seeds (tuple[int, ...]): Of the trainings.
        cfg_options (Mapping[str, Any]): Settings of all runs, below those of variants.
        axis (str, optional): Name of the axis that the values of the variants are on.
        resume (bool): A run that was interrupted goes on from its last checkpoint
            instead of from its start.
    """

    path: str
    name: str
    work_dir: str
    variants: tuple[Variant, ...]
    folds: tuple[Fold, ...]
    seeds: tuple[int, ...]
    cfg_options: Mapping[str, Any]
    axis: str | None = None
    resume: bool = False


def read_plan(path: str | os.PathLike) -> AblationPlan:
    """Reads a plan. ``docs/benchmark.md`` describes the file.

    Args:
        path (str | os.PathLike): JSON file; paths in it are relative to the current
            folder, as on the command line.

    Returns:
        AblationPlan: The plan.

    Raises:
        UserError: If the file or anything in it is missing, unknown or of a wrong
            type.
    """
    where = f'plan {path}'
    try:
        content = json.loads(read_text(path), object_pairs_hook=_refuse_twins)
    except (OSError, ValueError) as error:
        raise UserError(f'{where} cannot be read: {error}') from error
    fields = PlanFields(
        content,
        where,
        (
            *('name', 'work_dir', 'config', 'cfg_options', 'variants', 'seeds'),
            *('folds', 'axis', 'resume'),
        ),
    )
    config = fields.get('config', str, None)
    axis = fields.get('axis', str, None)
    variants = tuple(
        _variant(item, f'{where}: variants[{index}]', config, axis)
        for index, item in enumerate(fields.get('variants', list))
    )
    check_unique([variant.name for variant in variants], f'{where}: variants')
    if axis is not None:
        values = [variant.value for variant in variants]
        check_unique(values, f'{where}: the values of variants')
    seeds = fields.get('seeds', list, [0])
    if not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise UserError(f'{where}: seeds={seeds}: expected whole numbers from 0')
    check_unique(seeds, f'{where}: seeds')
    folds = _folds(fields, where)
    check_unique([fold.name for fold in folds], f'{where}: folds')
    return AblationPlan(
        path=os.fspath(path),
        name=fields.get('name', str, Path(path).stem),
        work_dir=fields.get('work_dir', str),
        variants=variants,
        folds=folds,
        seeds=tuple(seeds),
        cfg_options=fields.get('cfg_options', dict, {}),
        axis=axis,
        resume=fields.get('resume', bool, False),
    )


def _variant(item: Any, where: str, config: str | None, axis: str | None) -> Variant:
    fields = PlanFields(item, where, ('name', 'config', 'cfg_options', 'value'))
    config = fields.get('config', str, config)
    if config is None:
        raise UserError(
            f"{where}: the field 'config' is missing, here and for the whole plan"
        )
    if axis is None and 'value' in fields:
        raise UserError(
            f"{where}: 'value' is for curves. Remedy: name their axis in the field "
            "'axis' of the plan, or leave the values out"
        )
    return Variant(
        name=fields.name(),
        config=config,
        cfg_options=fields.get('cfg_options', dict, {}),
        value=None if axis is None else float(fields.get('value', float)),
    )


def _folds(fields: PlanFields, where: str) -> tuple[Fold, ...]:
    """Folds one by one, those of a folder of timelines, or one without a name."""
    if 'folds' not in fields:
        return (Fold('all'),)
    try:
        items = fields.get('folds', list)
    except UserError:
        return _timeline_folds(fields.get('folds', dict), f'{where}: folds')
    folds = []
    for index, item in enumerate(items):
        place = f'{where}: folds[{index}]'
        known = ('name', 'ann_file', 'data_root', 'cfg_options')
        one = PlanFields(item, place, known)
        root = one.get('data_root', str, None)
        file = one.get('ann_file', str, None)
        if root is not None and file is None:
            raise UserError(f"{place}: 'data_root' needs 'ann_file' beside it")
        _check_file(place, root, file)
        folds.append(Fold(one.name(), file, root, one.get('cfg_options', dict, {})))
    return tuple(folds)


def _timeline_folds(item: dict, where: str) -> tuple[Fold, ...]:
    """The folds that ``tools/dataset_converters/assemble_timelines.py`` has written."""
    fields = PlanFields(item, where, ('timelines', 'only'))
    root = fields.get('timelines', str)
    paths = Path(root).iterdir() if Path(root).is_dir() else ()
    matches = [_FOLD_FILE.fullmatch(path.name) for path in paths]
    numbers = sorted(int(match[1]) for match in matches if match)
    if not numbers:
        raise UserError(
            f'{where}: there is no annotations_fold0.json in {root}. Remedy: make the '
            'timelines with tools/dataset_converters/assemble_timelines.py, see '
            'docs/benchmark.md'
        )
    only = fields.get('only', list, numbers)
    unknown = [number for number in only if number not in numbers]
    if unknown:
        raise UserError(
            f'{where}: only={only}: {root} has the folds {", ".join(map(str, numbers))}'
        )
    return tuple(
        Fold(f'fold{number}', f'annotations_fold{number}.json', root) for number in only
    )


def _check_file(where: str, root: str | None, file: str | None) -> None:
    if file is not None and not os.path.isfile(os.path.join(root or '', file)):
        raise UserError(
            f'{where}: no such annotation file: {os.path.join(root or "", file)}'
        )


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict:
    """JSON itself takes the last of two fields with one name, in silence."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'the field {name!r} is there twice in one object')
    return dict(pairs)
