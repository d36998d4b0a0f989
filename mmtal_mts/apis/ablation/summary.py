"""What the finished runs of a plan say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .outcome import evaluate_runs
from .plan import AblationPlan, Variant
from .run import AblationRun, RunResult
from .statistics import PairedDifference, Spread, compare, over_folds, spread


@dataclass(frozen=True)
class VariantSummary:
    """One line of the table.

    Attributes:
        variant (Variant): Whose.
        num_done (int): Finished runs.
        num_runs (int): Runs of the plan.
        mean_ap (tuple[Spread, ...]): Cross-validated mAP at each threshold.
        average (Spread): Of the average mAP, one value a seed.
        pooled (Spread): Average mAP of the detections of all folds together.
        by_seed (tuple[float, ...]): The values that ``average`` is the mean of.
        difference (PairedDifference, optional): To the first variant; None for that.
    """

    variant: Variant
    num_done: int
    num_runs: int
    mean_ap: tuple[Spread, ...]
    average: Spread
    pooled: Spread
    by_seed: tuple[float, ...]
    difference: PairedDifference | None


@dataclass(frozen=True)
class AblationSummary:
    """All lines.

    Attributes:
        plan (AblationPlan): The plan.
        tiou_thresholds (tuple[float, ...]): M; empty before the first result.
        lines (tuple[VariantSummary, ...]): In the order of the plan.
        results (tuple[tuple[AblationRun, RunResult | None], ...]): Every single run.
    """

    plan: AblationPlan
    tiou_thresholds: tuple[float, ...]
    lines: tuple[VariantSummary, ...]
    results: tuple[tuple[AblationRun, RunResult | None], ...]


def summarize(plan: AblationPlan, runs: Sequence[AblationRun]) -> AblationSummary:
    """Puts the results that are there together.

    Args:
        plan (AblationPlan): The plan.
        runs (Sequence[AblationRun]): Its runs.

    Returns:
        AblationSummary: Of the finished ones.
    """
    results = tuple((run, run.read_result()) for run in runs)
    done = [result for _, result in results if result is not None]
    thresholds = done[0].tiou_thresholds if done else ()
    averages: dict[str, dict[tuple[int, str], float]] = {}
    lines = []
    for variant in plan.variants:
        own = [(run, result) for run, result in results if run.variant == variant]
        lines.append(_line(plan, variant, own, thresholds, averages))
    return AblationSummary(plan, thresholds, tuple(lines), results)


def _line(
    plan: AblationPlan,
    variant: Variant,
    own: Sequence[tuple[AblationRun, RunResult | None]],
    thresholds: Sequence[float],
    averages: dict[str, dict[tuple[int, str], float]],
) -> VariantSummary:
    folds = [fold.name for fold in plan.folds]
    done = {
        (run.seed, run.fold.name): (run, result)
        for run, result in own
        if result is not None
    }
    averages[variant.name] = {key: result.average for key, (_, result) in done.items()}
    by_seed = over_folds(averages[variant.name], folds)
    pooled = [
        evaluate_runs([done[seed, fold][0] for fold in folds])[1] for seed in by_seed
    ]
    mean_ap = tuple(
        spread(
            list(
                over_folds(
                    {key: result.mean_ap[row] for key, (_, result) in done.items()},
                    folds,
                ).values()
            )
        )
        for row in range(len(thresholds))
    )
    first = plan.variants[0]
    difference = None
    if variant is not first:
        difference = compare(averages[variant.name], averages[first.name], folds)
    return VariantSummary(
        variant=variant,
        num_done=len(done),
        num_runs=len(own),
        mean_ap=mean_ap,
        average=spread(list(by_seed.values())),
        pooled=spread(pooled),
        by_seed=tuple(by_seed.values()),
        difference=difference,
    )
