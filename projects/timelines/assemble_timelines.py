"""Puts untrimmed videos with annotations together from a folder of clips.

OUT gets the videos and annotations_fold{i}.json in native format, in which timelines of
fold i are subset "test", all others "training". A second call makes what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import cv2
import numpy as np
from clips import (
    Clip,
    Part,
    Timeline,
    TimelineSettings,
    place_background,
    plan_timelines,
    read_clips,
    show_one_box,
)
from rich.progress import track

from mmtal_mts.datasets.video import VideoReader, VideoReadError, write_video
from mmtal_mts.structures.timebase import FrameTimes
from mmtal_mts.utils.errors import run_tool
from mmtal_mts.utils.io import read_json, write_json

_MEDIAN_FRAMES = 40
"""Frames, evenly spaced, whose median is the background of a clip."""


def read_clip(clip: Clip, fps: float | None = None) -> tuple[np.ndarray, FrameTimes]:
    """Reads all frames of a clip, (T, H, W, 3) uint8 RGB, and when they are shown."""
    reader = VideoReader(clip.path)
    frames, times = np.stack([frame for _, frame in reader.frames()]), reader.times
    if fps or times.starts_s is None:
        times = FrameTimes(len(frames), fps or times.fps)
    return frames, times


def measure(clip: Clip, fps: float | None = None) -> tuple[tuple, int, float]:
    """Measures (height, width), number of frames and frame rate of a clip."""
    frames, times = read_clip(clip, fps)
    return frames.shape[1:3], len(frames), times.fps


def letterbox(frame: np.ndarray, size: int) -> np.ndarray:
    """Fits a frame (H, W, 3) into a black square of ``size`` pixels."""
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    new = (max(round(width * scale), 1), max(round(height * scale), 1))
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - new[1]) // 2, (size - new[0]) // 2
    fitted = cv2.resize(frame, new, interpolation=cv2.INTER_AREA)
    square[top : top + new[1], left : left + new[0]] = fitted
    return square


def cut(frame: np.ndarray, clip: Clip, size: int) -> np.ndarray:
    """Makes a square of what a clip shows of a frame (H, W, 3)."""
    if clip.window is None:
        return letterbox(frame, size)
    sides = np.array(frame.shape[1::-1] * 2)
    left, top, right, bottom = np.rint(clip.window * sides).astype(int)
    shown = frame[top:bottom, left:right]
    return cv2.resize(shown, (size, size), interpolation=cv2.INTER_AREA)


def render(
    timeline: Timeline, settings: TimelineSettings
) -> Iterator[tuple[np.ndarray, list[tuple[float, float, str]]]]:
    """Renders the parts of a timeline one after the other.

    Yields:
        Frames (T, size, size, 3) uint8 RGB; and start, end (seconds of the part) and
        label of each action. A start below 0 is in frames that parts before have shown.
    """
    for index, part in enumerate(timeline.parts):
        frames, times = read_clip(part.clip, settings.clip_fps)
        if part.background_s is None:
            pictures, actions = _clip_part(part, frames, times, settings)
        else:
            name = zlib.crc32(timeline.name.encode())
            noise = np.random.default_rng([settings.seed, name, index])
            pictures, actions = _background(part, frames, settings, noise), []
        if settings.control == 'frame':
            pictures[:] = pictures[:1]
        elif settings.control == 'bars':
            pictures[:] = cut(np.full_like(frames[0], 128), part.clip, settings.size)
        yield pictures, actions


def _clip_part(
    part: Part, frames: np.ndarray, shown: FrameTimes, settings: TimelineSettings
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    skipped_s = shown.start_s(part.skip_frames)
    count = max(round((shown.duration_s - skipped_s) * settings.fps), 0)
    # Each frame shows the middle of its interval, so rates may differ.
    times = skipped_s + (np.arange(count) + 0.5) / settings.fps
    last_s = skipped_s + count / settings.fps if count else shown.duration_s
    actions = []
    for start, end, label in part.clip.actions:
        if start >= last_s:
            where = f'{part.clip.path}: the action {label} begins at {start:.2f} s'
            raise VideoReadError(f'{where}, the clip ends at {shown.duration_s:.2f} s')
        actions.append((start - skipped_s, min(end, last_s) - skipped_s, label))
    chosen = np.minimum(shown.shown_at(times), len(frames) - 1)
    pictures = np.empty((count, settings.size, settings.size, 3), np.uint8)
    for place, i in enumerate(chosen):
        pictures[place] = cut(frames[i], part.clip, settings.size)
    return pictures, actions


def _background(
    part: Part, frames: np.ndarray, settings: TimelineSettings, rng: np.random.Generator
) -> np.ndarray:
    """The median of a clip, with the noise that its still pixels have."""
    picked = np.linspace(0, len(frames) - 1, min(len(frames), _MEDIAN_FRAMES))
    sample = np.stack([cut(frames[int(i)], part.clip, settings.size) for i in picked])
    still = np.median(sample, axis=0)
    # Most pixels are still in most frames: their median deviation is the noise of
    # the sensor. Without it, a frozen picture would give the background away.
    deviation = np.abs(sample.astype(np.float32) - still)
    noise = 1.4826 * float(np.median(deviation[:, still.sum(axis=2) > 0]))
    count = max(round(part.background_s * settings.fps), 1)
    noisy = rng.normal(0.0, max(noise, 0.5), size=(count, *still.shape))
    return np.clip(np.rint(still + noisy), 0, 255).astype(np.uint8)


def assemble_dataset(
    clips: Sequence[Clip],
    out_dir: str | Path,
    settings: TimelineSettings | None = None,
    progress: bool = True,
) -> list[Path]:
    """Writes the videos and ``annotations_fold{i}.json`` for every fold.

    Raises:
        FileExistsError: If the folder holds timelines of other settings or clips.
    """
    settings, out_dir = settings or TimelineSettings(), Path(out_dir)
    timelines = plan_timelines(clips, settings)
    used = sorted([c.clip_id, c.source_start, c.source_end, c.window] for c in clips)
    record = json.loads(json.dumps(dict(settings=asdict(settings), clips=used)))
    path = out_dir / 'settings.json'
    if path.is_file() and read_json(path) != record:
        found = f'{out_dir} holds timelines of other settings or clips (see {path})'
        raise FileExistsError(f'{found}: choose another folder, or remove it')
    write_json(path, record)
    entries = {}
    for timeline in track(timelines, 'Timelines', disable=not progress):
        # Written after the video: if it is there, so is the whole video.
        done = out_dir / 'videos' / f'{timeline.name}.json'
        if not done.is_file():
            write_json(done, _make_video(timeline, settings, done.with_suffix('.mp4')))
        entries[timeline.name] = read_json(done)
    classes = sorted({label for clip in clips for _, _, label in clip.actions})
    paths = [out_dir / f'annotations_fold{i}.json' for i in range(settings.folds)]
    for fold, path in enumerate(paths):
        database = {}
        for one in timelines:
            subset = 'test' if one.fold == fold else 'training'
            database[one.name] = dict(entries[one.name], subset=subset)
        write_json(path, dict(version='1.0', classes=classes, database=database))
    return paths


def _make_video(timeline: Timeline, settings: TimelineSettings, path: Path) -> dict:
    """Makes one video and returns its annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations: list[dict] = []

    def frames() -> Iterator[np.ndarray]:
        shown = 0
        for pictures, actions in render(timeline, settings):
            begin = shown / settings.fps
            for start, end, label in actions:
                segment = [begin + start, begin + end]
                annotations.append({'segment': segment, 'label': label})
            shown += len(pictures)
            yield from pictures

    count = write_video(path, frames(), settings.fps)
    entry = dict(duration=count / settings.fps, fps=settings.fps, file=path.name)
    return dict(entry, group=timeline.group, annotations=annotations)


def main() -> None:
    """Assembles; the fields of the settings are options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('annotations', help='clips: native JSON, or CSV video,label')
    parser.add_argument('videos', help='folder of the clips')
    parser.add_argument('out', help='folder to write')
    parser.add_argument('--group-by', default='group', help='field whose clips join')
    placed = 'clips of background belong before the action of the same picture size'
    parser.add_argument('--place-background', action='store_true', help=placed)
    parser.add_argument('--boxes', help='CSV: show what boxes of a group share')
    parser.add_argument('--without', nargs='+', default=[], help='labels to leave out')
    for one in fields(TimelineSettings):
        kwargs = {'type': type(one.default), **one.metadata}
        if kwargs['type'] is bool:
            kwargs = dict(one.metadata, action=argparse.BooleanOptionalAction)
        flag = f'--{one.name.replace("_", "-")}'
        parser.add_argument(flag, default=one.default, **kwargs)
    args = parser.parse_args()
    args.gap, args.background_labels = tuple(args.gap), tuple(args.background_labels)
    names = (one.name for one in fields(TimelineSettings))
    settings = TimelineSettings(**{name: getattr(args, name) for name in names})
    clips = read_clips(args.annotations, args.videos, args.group_by)
    clips = [c for c in clips if not {x for *_, x in c.actions} & set(args.without)]
    if args.boxes:
        clips = show_one_box(clips, args.boxes)
    if args.place_background:
        clips = place_background(clips, lambda clip: measure(clip, args.clip_fps))
        background = [clip for clip in clips if not clip.actions]
        placed = sum(clip.source_start is not None for clip in background)
        print(f'{placed} of {len(background)} clips of background have found a place')
    if args.boxes:  # Nothing tells the box of a background without a place.
        clips = [clip for clip in clips if clip.window]
    for path in assemble_dataset(clips, args.out, settings):
        videos = read_json(path)['database'].values()
        num_test = sum(video['subset'] == 'test' for video in videos)
        num_actions = sum(len(video['annotations']) for video in videos)
        minutes = sum(video['duration'] for video in videos) / 60
        print(
            f'{path}: {len(videos) - num_test} videos to train on, {num_test} to '
            f'test, {num_actions} actions, {minutes:.1f} minutes'
        )


if __name__ == '__main__':
    sys.exit(run_tool(main))
