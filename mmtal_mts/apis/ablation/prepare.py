"""From a plan to its runs, each with a complete config; checked before any starts."""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config

from mmtal_mts.apis.config import load_config, merge_options
from mmtal_mts.utils import UserError

from .plan import AblationPlan, Fold, Variant
from .run import AblationRun, total_progress

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')


def prepare_runs(plan: AblationPlan) -> list[AblationRun]:
    """Builds the config of every run.

    Args:
        plan (AblationPlan): The plan.

    Returns:
        list[AblationRun]: Seed by seed, in each fold by fold, in each variant by
        variant: what is there early compares all variants.

    Raises:
        UserError: If a config is missing or unfit, an option does not fit it, two
            variants are the same, or the work dir holds a run with another config.
    """
    bases = {v.config: load_config(v.config) for v in plan.variants}
    configs: dict[tuple[str, str], tuple[Config, str]] = {}
    for variant in plan.variants:
        for fold in plan.folds:
            cfg = _build(plan, bases[variant.config], variant, fold)
            configs[variant.name, fold.name] = cfg, _as_python(cfg, plan, variant)
    _refuse_equal_variants(plan, configs)
    runs = [
        _run(plan, variant, fold, seed, *configs[variant.name, fold.name])
        for seed in plan.seeds
        for fold in plan.folds
        for variant in plan.variants
    ]
    for run in runs:
        _refuse_other_config(plan, run)
    return runs


def _build(plan: AblationPlan, base: Config, variant: Variant, fold: Fold) -> Config:
    """The config of a variant on a fold."""
    cfg = copy.deepcopy(base)
    for options, place in (
        (plan.cfg_options, 'cfg_options'),
        (variant.cfg_options, f'cfg_options of variant {variant.name!r}'),
        (_data_options(fold), f'fold {fold.name!r}'),
        (fold.cfg_options, f'cfg_options of fold {fold.name!r}'),
    ):
        where = f'plan {plan.path}: {place}'
        for key in options:
            _check_key(cfg, key, f'{where}: {key}')
        try:
            merge_options(cfg, options)
        except UserError as error:
            raise UserError(f'{where}: {error}') from error
    _check_metric(cfg, variant, plan)
    return cfg


def _data_options(fold: Fold) -> dict[str, Any]:
    """The settings that put the split of a fold in the place of the config's."""
    if fold.ann_file is None:
        return {}
    path = str(Path(fold.data_root or '') / fold.ann_file)
    options = {f'{name}.ann_file': path for name in _EVALUATORS}
    for name in _LOADERS:
        options[f'{name}.dataset.ann_file'] = fold.ann_file
        if fold.data_root is not None:
            options[f'{name}.dataset.data_root'] = fold.data_root
    return options


def _check_key(cfg: Config, key: str, where: str) -> None:
    """Refuses an option nobody would read: MMEngine adds it in silence.

    The last part of a longer name may be new: an argument that the config leaves at
    its default. If the class does not know it, building it fails.
    """
    parent: Any = cfg
    *path, last = key.split('.')
    for name in path or [last]:
        if isinstance(parent, (list, tuple)):
            if not name.isdigit() or int(name) >= len(parent):
                raise UserError(
                    f'{where}: {name!r} is no position in a list of {len(parent)}'
                )
            parent = parent[int(name)]
            continue
        if not hasattr(parent, 'keys') or name not in parent:
            known = list(parent.keys()) if hasattr(parent, 'keys') else []
            close = difflib.get_close_matches(name, known, n=1)
            hint = f' Did you mean {close[0]!r}?' if close else ''
            raise UserError(f'{where}: the config has no {name!r} there.{hint}')
        parent = parent[name]
    if path and not (hasattr(parent, 'keys') or isinstance(parent, (list, tuple))):
        raise UserError(f'{where}: {".".join(path)} is {parent!r}, it has no {last!r}')


def _check_metric(cfg: Config, variant: Variant, plan: AblationPlan) -> None:
    evaluator = cfg.get('test_evaluator')
    if not isinstance(evaluator, Mapping) or evaluator.get('type') != 'TALMetric':
        raise UserError(
            f'plan {plan.path}: variant {variant.name!r}: test_evaluator of '
            f'{variant.config} is not one TALMetric, whose mAP the table is made of'
        )


def _as_python(cfg: Config, plan: AblationPlan, variant: Variant) -> str:
    """The whole config as a file, one setting after the other."""
    lines = [f'# {variant.config}, as tools/misc/run_ablation.py changes it.']
    for key, value in cfg.to_dict().items():
        text = pformat(value, sort_dicts=False, width=88)
        try:
            ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise UserError(
                f'plan {plan.path}: {key} of {variant.config} is no plain value of '
                'Python, so it cannot be written into the config of a run. Remedy: '
                'name classes by their registered names'
            ) from error
        lines.append(f'{key} = {text}')
    return '\n'.join(lines) + '\n'


def _run(
    plan: AblationPlan,
    variant: Variant,
    fold: Fold,
    seed: int,
    cfg: Config,
    text: str,
) -> AblationRun:
    length, unit = total_progress(cfg)
    folder = Path(plan.work_dir) / 'runs' / variant.name / f'{fold.name}_seed{seed}'
    run = AblationRun(
        variant=variant,
        fold=fold,
        seed=seed,
        folder=folder,
        config_text=text,
        max_progress=length,
        unit=unit,
        evaluator=cfg.test_evaluator.to_dict(),
        classes=tuple(cfg.test_dataloader.dataset.classes),
    )
    # Not as an option of tools/test.py: MMEngine removes the spaces of a value, and
    # makes a list of one with a comma.
    dump = f'test_evaluator["dump_path"] = {str(run.detections)!r}\n'
    return replace(run, config_text=text + dump)


def _refuse_equal_variants(
    plan: AblationPlan, configs: Mapping[tuple[str, str], tuple[Config, str]]
) -> None:
    """Two variants of one config would be trained twice and compared with itself."""
    seen: dict[str, str] = {}
    for variant in plan.variants:
        content = repr(configs[variant.name, plan.folds[0].name][0].to_dict())
        if content in seen:
            raise UserError(
                f'plan {plan.path}: the variants {seen[content]!r} and '
                f'{variant.name!r} have the same settings'
            )
        seen[content] = variant.name


def _refuse_other_config(plan: AblationPlan, run: AblationRun) -> None:
    """Results of other settings are neither taken over nor deleted."""
    if not run.config.is_file():
        return
    if run.config.read_text(encoding='utf-8') != run.config_text:
        raise UserError(
            f'{run.folder} was run with another config than plan {plan.path} gives now '
            f'(see {run.config}). Remedy: delete that folder, or choose another '
            'work_dir'
        )
