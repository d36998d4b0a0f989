"""A diagnosis as JSON and as a page."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmtal_mts.apis.diagnosis_text import boundary_rows, fix_rows, percents
from mmtal_mts.evaluation.diagnosis.diagnose import Diagnosis
from mmtal_mts.evaluation.diagnosis.errors import ERROR_KINDS, KINDS
from mmtal_mts.evaluation.diagnosis.fixes import FIXES
from mmtal_mts.evaluation.diagnosis.ranking import RECALL_POINTS
from mmtal_mts.utils.io import atomic_write, write_json
from mmtal_mts.visualization import diagnosis_plots as plots
from mmtal_mts.visualization.bucket_plots import (
    Buckets,
    plot_missed,
    plot_sensitivity,
)
from mmtal_mts.visualization.diagnosis_plots import spoken

_CHARACTERISTICS = {
    'length': 'length',
    'coverage': 'coverage of the video',
    'instances': 'segments of the class in the video',
}


def write_diagnosis(
    out_dir: str | os.PathLike, diagnosis: Diagnosis, title: str, background_tiou: float
) -> tuple[Path, Path]:
    """Write ``diagnosis.json`` and a page that needs nothing else, ``report.html``.

    Args:
        out_dir (str | os.PathLike): Folder; made if it is not there.
        diagnosis (Diagnosis): What to write.
        title (str): Of the page.
        background_tiou (float): That the diagnosis was made with.

    Returns:
        tuple[Path, Path]: The JSON file and the page.
    """
    paths = Path(out_dir) / 'diagnosis.json', Path(out_dir) / 'report.html'
    write_json(paths[0], diagnosis.to_json())
    page = render_page(diagnosis, title, background_tiou)
    with atomic_write(paths[1]) as temporary:
        temporary.write_text(page, encoding='utf-8')
    return paths


def render_page(diagnosis: Diagnosis, title: str, background_tiou: float) -> str:
    """The page.

    Args:
        diagnosis (Diagnosis): What to show.
        title (str): Of the page.
        background_tiou (float): That the diagnosis was made with.

    Returns:
        str: HTML.
    """
    environment = Environment(
        loader=PackageLoader('mmtal_mts.apis'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    present = np.flatnonzero(diagnosis.positives)
    main, tious = diagnosis.main, [f'{t:g}' for t in diagnosis.tiou_thresholds]
    counts = diagnosis.to_json()['counts']
    names = [diagnosis.classes[label] for label in present]
    class_rows = list(zip(names, diagnosis.ap[:, present].T))
    heads = {
        'fixes': ['put right', *tious, 'average'],
        'kinds': ['detections', *tious],
        'mix_ups': ['true class', 'detected as', 'detections'],
        'boundaries': ['', 'absolute', 'signed'],
        'sensitivity': ['by', 'sensitivity', 'impact'],
    }
    rows = {
        'fixes': fix_rows(diagnosis),
        'kinds': [[spoken(k), *row] for k, row in zip(KINDS, diagnosis.kinds.T)],
        'mix_ups': diagnosis.top_mix_ups(),
        'boundaries': boundary_rows(diagnosis),
        'sensitivity': [
            [_CHARACTERISTICS[one.characteristic], *percents([one.spread, one.impact])]
            for one in diagnosis.sensitivity
        ],
    }
    tables = {key: {'head': heads[key], 'rows': rows[key]} for key in heads}
    return environment.get_template('diagnosis.html').render(
        title=title,
        counts=counts,
        main_tiou=diagnosis.main_tiou,
        background_tiou=background_tiou,
        tiles=_tiles(diagnosis),
        class_table={
            'head': ['class', *tious],
            'rows': [*class_rows, ('mAP', diagnosis.mean_ap)],
        },
        plots={
            # Text is drawn as outlines; matplotlib escapes it in comments beside them.
            name: Markup(svg)
            for name, svg in {
                'classes': plots.plot_classes(
                    names, diagnosis.ap[main, present], diagnosis.positives[present]
                ),
                'curves': plots.plot_precision_recall(
                    RECALL_POINTS, diagnosis.curves, diagnosis.tiou_thresholds, main
                ),
                'profile': plots.plot_profile(diagnosis.profile[main], KINDS),
                'fixes': plots.plot_fixes(
                    FIXES,
                    diagnosis.fixed[main],
                    _with_nan(diagnosis.removed[main]),
                    diagnosis.mean_ap[main],
                ),
                'missed': plot_missed(_missed_buckets(diagnosis)),
                'sensitivity': plot_sensitivity(
                    _sensitivity_buckets(diagnosis),
                    100 * diagnosis.sensitivity[0].overall.mean(),
                ),
            }.items()
        },
        **tables,
    )


def _tiles(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    first, last = diagnosis.tiou_thresholds[0], diagnosis.tiou_thresholds[-1]
    main = diagnosis.main
    best = diagnosis.profile[main, 0]
    gains = diagnosis.fixed[main, : len(ERROR_KINDS)] - diagnosis.mean_ap[main]
    worst = ERROR_KINDS[int(gains.argmax())]
    return [
        (f'mAP, tIoU {first:g} to {last:g}', f'{100 * diagnosis.mean_ap.mean():.1f} %'),
        (
            f'mAP at tIoU {diagnosis.main_tiou:g}',
            f'{100 * diagnosis.mean_ap[main]:.1f} %',
        ),
        ('of the segments found', f'{100 * diagnosis.recall[main]:.1f} %'),
        ('of the best G right', f'{100 * best[0] / max(best.sum(), 1):.1f} %'),
        (f'most to gain: {spoken(worst)}', f'+{100 * gains.max():.1f}'),
    ]


def _with_nan(removed: np.ndarray) -> np.ndarray:
    """The mAP without each error kind, with nothing for the other fixes."""
    return np.append(removed, np.full(len(FIXES) - len(removed), np.nan))


def _missed_buckets(diagnosis: Diagnosis) -> list[Buckets]:
    """Missed segments as they are drawn."""
    return [
        Buckets(
            _CHARACTERISTICS[one.characteristic],
            one.buckets,
            one.total,
            100 * one.missed[diagnosis.main] / np.where(one.total, one.total, np.nan),
        )
        for one in diagnosis.missed
    ]


def _sensitivity_buckets(diagnosis: Diagnosis) -> list[Buckets]:
    """Normalised mAP as it is drawn."""
    return [
        Buckets(
            _CHARACTERISTICS[one.characteristic],
            one.buckets,
            one.total,
            100 * one.average,
        )
        for one in diagnosis.sensitivity
    ]
