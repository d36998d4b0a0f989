"""Makes a data set of timelines: videos, and one annotation file per fold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.progress import track

from mmtal_mts.utils.io import write_json

from ..video_writer import write_video
from .clips import Clip
from .layout import Timeline, TimelineSettings, plan_timelines
from .render import render

VIDEO_DIR = 'videos'


def assemble_dataset(
    clips: Sequence[Clip],
    out_dir: str | Path,
    settings: TimelineSettings | None = None,
    progress: bool = True,
) -> list[Path]:
    """Writes the videos and ``annotations_fold{i}.json`` for every fold.

    A second call makes what is missing; a killed one leaves no half-written file.

    Args:
        clips: All clips.
        out_dir: Folder of the data set.
        settings: Settings of the set.
        progress: Whether to show a progress bar.

    Returns:
        The annotation files, in native format: timelines of the fold are subset
        ``test``, all others ``training``.

    Raises:
        FileExistsError: If the folder holds timelines of other settings or clips.
        ValueError: See :func:`plan_timelines`.
    """
    settings = settings or TimelineSettings()
    out_dir = Path(out_dir)
    timelines = plan_timelines(clips, settings)
    record = {
        'settings': _as_json(settings),
        'clips': sorted(
            [clip.clip_id, clip.source_start, clip.source_end] for clip in clips
        ),
    }
    _check_record(out_dir, record)
    (out_dir / VIDEO_DIR).mkdir(parents=True, exist_ok=True)
    write_json(out_dir / 'settings.json', record)
    entries = {}
    for timeline in track(timelines, 'Timelines', disable=not progress):
        entries[timeline.name] = _make(timeline, settings, out_dir)
    classes = sorted({label for clip in clips for _, _, label in clip.actions})
    paths = []
    for fold in range(settings.folds):
        database = {
            timeline.name: dict(
                entries[timeline.name],
                subset='test' if timeline.fold == fold else 'training',
            )
            for timeline in timelines
        }
        path = out_dir / f'annotations_fold{fold}.json'
        write_json(path, dict(version='1.0', classes=classes, database=database))
        paths.append(path)
    return paths


def _make(timeline: Timeline, settings: TimelineSettings, out_dir: Path) -> dict:
    """Makes one video unless it is there, and returns its annotation."""
    # Written after the video: if it is there, so is the whole video.
    done = out_dir / VIDEO_DIR / f'{timeline.name}.json'
    if done.is_file():
        return json.loads(done.read_text(encoding='utf-8'))
    annotations: list[dict] = []
    path = out_dir / VIDEO_DIR / f'{timeline.name}.mp4'
    count = write_video(
        path, _frames(timeline, settings, annotations), settings.fps, settings.size
    )
    entry = {
        'duration': count / settings.fps,
        'fps': settings.fps,
        'file': path.name,
        'group': timeline.group,
        'annotations': annotations,
    }
    write_json(done, entry)
    return entry


def _frames(
    timeline: Timeline, settings: TimelineSettings, annotations: list[dict]
) -> Iterator[np.ndarray]:
    shown = 0
    for part in render(timeline, settings):
        begin = shown / settings.fps
        annotations += [
            {'segment': [begin + start, begin + end], 'label': label}
            for start, end, label in part.actions
        ]
        shown += len(part.frames)
        yield from part.frames


def _as_json(settings: TimelineSettings) -> dict:
    """Settings as they come back from a file."""
    return json.loads(json.dumps(asdict(settings)))


def _check_record(out_dir: Path, record: dict) -> None:
    path = out_dir / 'settings.json'
    if not path.is_file():
        return
    saved = json.loads(path.read_text(encoding='utf-8'))
    # A setting that is younger than the folder has its default there.
    saved['settings'] = {**_as_json(TimelineSettings()), **saved['settings']}
    if saved != record:
        raise FileExistsError(
            f'{out_dir} holds timelines of other settings or clips (see {path}): '
            'choose another folder, or remove it'
        )
