"""Mean average precision of temporal action detection, as ActivityNet defines it.

G segments, S detections, P pairs of both that overlap, M tIoU thresholds, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...structures import Segments, pairwise_tiou
from .post_processing import join_videos

UNMATCHED = -1
"""In place of a segment: the detection is a false positive."""


@dataclass(frozen=True)
class MeanAPResult:
    """Average precision, and which detection finds which segment.

    Attributes:
        tiou_thresholds: M thresholds.
        ap: (M, K) in [0, 1]; NaN for a class without ground truth.
        counts: ``videos``, ``segments`` and ``detections`` that are compared;
            ``unknown_video`` and ``unknown_class``, detections that are left out
            because no ground truth knows their video or class.
        truth: All segments (G), in seconds, by video.
        truth_video: (G,) positions of their videos in the ground truth, ascending.
        found: All detections (S) of labels that occur in the ground truth, ordered by
            descending score, all videos and classes together.
        video: (S,) positions of their videos in the ground truth.
        matched: (M, S) position of the segment that a detection finds at a threshold,
            or ``UNMATCHED``.
    """

    tiou_thresholds: tuple[float, ...]
    ap: np.ndarray
    counts: dict[str, int]
    truth: Segments
    truth_video: np.ndarray
    found: Segments
    video: np.ndarray
    matched: np.ndarray

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
            f'tIoU thresholds {list(wanted)}: choose from {list(evaluated)}'
        )
    return near.argmax(axis=1)


def mean_average_precision(
    ground_truth: Mapping[str, Segments],
    detections: Mapping[str, Segments],
    num_classes: int,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
) -> MeanAPResult:
    """Average precision per class and tIoU threshold.

    Of each class the detections of all videos come by descending score. Each takes the
    segment of its video and class that it overlaps most among those not taken yet, if
    their tIoU reaches the threshold, and is a true positive; any other is a false one.
    AP is the area under the precision-recall curve with precision made monotone.
    The numbers are those of the official ActivityNet evaluation, except:

    - equal scores are taken in the given order (there: in no defined order);
    - detections in videos without ground truth are left out, as in AFSD (there: they
      are false positives, which they become here too with an empty ground truth);
    - a detection that ends before it starts is always a false positive (there: one
      that just touches a segment makes 0 / 0, which counts as a match).

    Args:
        ground_truth: By video id: the videos to evaluate.
        detections: By video id. Those of other videos or of classes without ground
            truth do not enter the score; they are counted.
        num_classes: K.
        tiou_thresholds: M thresholds in (0, 1].

    Returns:
        AP of every threshold and class, and what it rests on.

    Raises:
        ValueError: A threshold or a label is out of range, the ground truth holds no
            segment, or a detection is not finite.
    """
    thresholds = np.asarray(tiou_thresholds, dtype=np.float64)
    if not thresholds.size or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(f'tIoU thresholds {list(tiou_thresholds)} must be in (0, 1]')
    ids = list(ground_truth)
    truth, truth_video = join_videos(ground_truth)
    if not len(truth):
        text = f'the ground truth ({len(ids)} videos) holds no segment'
        raise ValueError(f'{text}; check the annotation file and the subset')
    strange = (truth.labels < 0) | (truth.labels >= num_classes)
    if strange.any():
        text = f'ground truth of video {ids[truth_video[strange.argmax()]]}'
        raise ValueError(f'{text}: label outside 0..{num_classes - 1}')
    for video_id, one in detections.items():
        if not (np.isfinite(one.segments).all() and np.isfinite(one.scores).all()):
            raise ValueError(f'detections of video {video_id} are NaN or infinite')
    known = {name: one for name, one in detections.items() if name in ground_truth}
    found, video = join_videos(known)
    places = {name: place for place, name in enumerate(ids)}
    video = np.array([places[name] for name in known], dtype=int)[video]
    occurs = np.isin(found.labels, truth.labels)
    order = np.flatnonzero(occurs)
    order = order[np.argsort(-found.scores[order], kind='stable')]
    found, video = found[order], video[order]
    pairs = overlapping_pairs(found, video, truth, truth_video)
    fits = found.labels[pairs[0]] == truth.labels[pairs[1]]
    fits &= pairs[2] >= thresholds.min()
    pairs = tuple(column[fits] for column in pairs)
    matched = _match(pairs, thresholds, len(found))
    positives = np.bincount(truth.labels, minlength=num_classes)
    ap = average_precision(matched != UNMATCHED, found.labels, positives)
    counts = dict(
        unknown_video=sum(map(len, detections.values())) - len(occurs),
        unknown_class=int((~occurs).sum()),
        videos=len(ids),
        segments=len(truth),
        detections=len(found),
    )
    thresholds = tuple(thresholds.tolist())
    return MeanAPResult(
        thresholds, ap, counts, truth, truth_video, found, video, matched
    )


def overlapping_pairs(
    found: Segments, video: np.ndarray, truth: Segments, truth_video: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections, segments and tIoU (P,) of all pairs that overlap in a video.

    Videos are (S,) and (G,) numbers, the latter ascending.
    """
    order, parts = np.argsort(video, kind='stable'), []
    videos, segments = video[order], found.segments[order]
    for number in np.unique(truth_video):
        first, last = np.searchsorted(videos, [number, number + 1])
        start, end = np.searchsorted(truth_video, [number, number + 1])
        tiou = pairwise_tiou(segments[first:last], truth.segments[start:end])
        row, column = np.nonzero(tiou)
        parts.append((order[first + row], start + column, tiou[row, column]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _match(
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    thresholds: Sequence[float],
    num_detections: int,
) -> np.ndarray:
    """Finds the segment of every true positive; see :attr:`MeanAPResult.matched`.

    Of equally good segments the last is taken, as in the official evaluation. All
    detections ask at the same time: each asks for the best segment that it was not
    refused yet, and a segment keeps the first detection that asks for it and refuses
    the others. In the end every detection has what it would have taken in its turn
    (the stable matching of Gale and Shapley).
    """
    row, target, tiou = pairs
    best = np.lexsort((-target, -tiou, row))
    row, target, tiou = row[best], target[best], tiou[best]
    matched = np.full((len(thresholds), num_detections), UNMATCHED, dtype=np.int64)
    keeps = np.empty(target.max(initial=0) + 1, dtype=np.int64)
    for own, threshold in zip(matched, thresholds, strict=True):
        enough = tiou >= threshold
        rows, goals = row[enough], target[enough]
        # The pair that each detection asks for.
        asks = np.flatnonzero(np.diff(rows, prepend=-1))
        while True:
            # Of several values for one place the last one stays: the first detection.
            keeps[goals[asks][::-1]] = rows[asks][::-1]
            refused = keeps[goals[asks]] != rows[asks]
            if not refused.any():
                break
            # On to the next pair, if it is of the same detection.
            after = np.append(rows, -1)[asks + refused]
            asks = (asks + refused)[after == rows[asks]]
        own[rows[asks]] = goals[asks]
    return matched


def average_precision(
    hits: np.ndarray,
    labels: np.ndarray,
    positives: np.ndarray,
    usual_positives: float | None = None,
) -> np.ndarray:
    """Area under the interpolated precision-recall curve of each class.

    Args:
        hits: (M, S) true positives, by descending score, all classes together.
        labels: (S,) classes, 0..K-1.
        positives: (K,) number of ground-truth segments of each class.
        usual_positives: Segments per class that precision is normalised to, if it is.

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


def print_mean_ap(
    console: Console,
    result: MeanAPResult,
    average_over: Sequence[float] | None = None,
    classes: Sequence[str] = (),
) -> None:
    """Prints a table in percent, and what it rests on.

    Args:
        console: Where to.
        result: The result.
        average_over: Thresholds that the average is over. None: all.
        classes: K names, to show the AP of each class.
    """
    over = threshold_rows(result.tiou_thresholds, average_over)
    names = [f'{threshold:g}' for threshold in result.tiou_thresholds]
    rows = [
        (name, *ap, ap[over].mean())
        for name, ap in zip(classes, result.ap.T, strict=bool(classes))
    ]
    rows += [(), ('mAP', *result.mean_ap, result.average(average_over))]
    head = ['tIoU', *names, 'average']
    console.print(percent_table('mAP in %', head, rows, 2))
    notes = describe_counts(result.counts)
    if len(over) < len(names):
        notes.append(f'average over tIoU {", ".join(names[row] for row in over)}')
    console.print(*notes, sep='\n', highlight=False, soft_wrap=True)


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
