"""Mean average precision of temporal action detection, as ActivityNet defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from ...structures import Segments
from .matching import match_videos


@dataclass(frozen=True)
class MeanAPResult:
    """Average precision by threshold and class, and what it was computed on.

    Attributes:
        tiou_thresholds: M thresholds.
        ap: (M, K) in [0, 1]; NaN for a class without ground truth.
        counts: See :class:`.Matching`.
    """

    tiou_thresholds: tuple[float, ...]
    ap: np.ndarray
    counts: dict[str, int]

    @property
    def mean_ap(self) -> np.ndarray:
        """MAP (M,): mean over the classes that occur in the ground truth."""
        return np.nanmean(self.ap, axis=1)

    def average(self, tiou_thresholds: Sequence[float] | None = None) -> float:
        """Average of the mAP over some of the thresholds.

        Args:
            tiou_thresholds: Which. None: all.

        Returns:
            The average, in [0, 1].

        Raises:
            ValueError: One of them was not evaluated.
        """
        rows = threshold_rows(self.tiou_thresholds, tiou_thresholds)
        return float(self.mean_ap[rows].mean())


def threshold_rows(
    evaluated: Sequence[float], wanted: Sequence[float] | None
) -> np.ndarray:
    """Positions of the wanted thresholds, to 1e-6, among the evaluated ones.

    Raises:
        ValueError: Nothing is wanted or something was not evaluated.
    """
    if wanted is None:
        return np.arange(len(evaluated))
    near = np.abs(np.subtract.outer(np.asarray(wanted, float), evaluated)) < 1e-6
    if not near.size or not near.any(axis=1).all():
        raise ValueError(
            f'average over tIoU thresholds {list(wanted)}: choose from the evaluated '
            f'ones, {list(evaluated)}'
        )
    return near.argmax(axis=1)


def mean_average_precision(
    ground_truth: Mapping[str, Segments],
    detections: Mapping[str, Segments],
    num_classes: int,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
) -> MeanAPResult:
    """Average precision per class and tIoU threshold.

    A detection that finds a segment (see :func:`.match_videos`) is a true
    positive, any other a false one. AP is the area under the precision-recall curve
    with precision made monotone. The numbers are those of the official ActivityNet
    evaluation, except:

    - equal scores are taken in the given order (there: in no defined order);
    - detections in videos without ground truth are left out, as in AFSD (there: they
      are false positives, which they become here too with an empty ground truth);
    - a detection that ends before it starts is always a false positive (there: one
      that just touches a segment makes 0 / 0, which counts as a match).

    Args:
        ground_truth: By video id: the videos to evaluate.
        detections: By video id. Those of other videos or
            of classes without ground truth do not enter the score; they are counted.
        num_classes: K.
        tiou_thresholds: M thresholds in (0, 1].

    Returns:
        AP of every threshold and class.

    Raises:
        ValueError: A threshold is out of range, the ground truth holds no
            segment, a label is out of range, or a detection is not finite.
    """
    matching = match_videos(ground_truth, detections, num_classes, tiou_thresholds)
    return MeanAPResult(
        tuple(matching.tiou_thresholds.tolist()),
        average_precision(matching.hits, matching.found.labels, matching.positives),
        matching.counts,
    )


def average_precision(
    hits: np.ndarray,
    labels: np.ndarray,
    positives: np.ndarray,
    usual_positives: float | None = None,
) -> np.ndarray:
    """Area under the interpolated precision-recall curve of each class.

    Args:
        hits: (M, S) true positives, by descending score, all classes
            together.
        labels: (S,) classes, 0..K-1.
        positives: (K,) number of ground-truth segments of each class.
        usual_positives: Number of segments of each class that precision is
            normalised to. None: it is not.

    Returns:
        AP (M, K); 0 without a detection, NaN without a segment.
    """
    ap = np.full((len(hits), len(positives)), np.nan)
    for label in np.flatnonzero(positives):
        own = hits[:, labels == label]
        weight = 1.0 if usual_positives is None else usual_positives / positives[label]
        true = weight * np.cumsum(own, axis=1, dtype=np.float64)
        precision = true / (true + np.cumsum(~own, axis=1))
        # The best precision at this or any higher recall, which rises by
        # 1 / positives at each true positive and nowhere else.
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        ap[:, label] = np.where(own, best, 0.0).sum(axis=1) / positives[label]
    return ap


def mean_ap_table(
    result: MeanAPResult,
    average_over: Sequence[float] | None = None,
    classes: Sequence[str] = (),
) -> tuple[Table, list[str]]:
    """The result for a person.

    Args:
        result: The result.
        average_over: Thresholds that the average is over. None: all.
        classes: K names, to show the AP of each class.

    Returns:
        A table in percent, and notes on what it rests on.
    """
    over = threshold_rows(result.tiou_thresholds, average_over)
    names = [f'{threshold:g}' for threshold in result.tiou_thresholds]
    rows = [
        (name, *ap, ap[over].mean())
        for name, ap in zip(classes, result.ap.T, strict=bool(classes))
    ]
    rows += [(), ('mAP', *result.mean_ap, result.average(average_over))]
    notes = describe_counts(result.counts)
    if len(over) < len(names):
        notes.append(f'average over tIoU {", ".join(names[row] for row in over)}')
    return percent_table('mAP in %', ['tIoU', *names, 'average'], rows, 2), notes


def percent_table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    digits: int = 1,
    bold: str = 'mAP',
) -> Table:
    """A table of names and numbers.

    Args:
        title: Above the table.
        head: Names of the columns.
        rows: Fractions (float) are shown in percent, NaN as '-', anything else as it
            is; an empty row is a line.
        digits: Of a percentage behind the point.
        bold: First cell of the row that stands out.
    """
    table = Table(title=title, title_justify='left')
    table.add_column(head[0], overflow='fold')
    for name in head[1:]:
        table.add_column(name, justify='right', no_wrap=True)
    for row in rows:
        if not row:
            table.add_section()
            continue
        texts = []
        for cell in row:
            text = f'{100 * cell:.{digits}f}' if isinstance(cell, float) else str(cell)
            # Only NaN differs from itself.
            texts.append('-' if cell != cell else escape(text))
        table.add_row(*texts, style='bold' if row[0] == bold else None)
    return table


def describe_counts(counts: Mapping[str, int]) -> list[str]:
    """What was evaluated and what was left out, a line each."""
    lines = ['{detections} detections, {segments} segments, {videos} videos']
    if counts['unknown_video'] or counts['unknown_class']:
        lines.append(
            'left out: {unknown_video} detections in videos without ground truth, '
            '{unknown_class} of classes without a segment'
        )
    return [line.format(**counts) for line in lines]
