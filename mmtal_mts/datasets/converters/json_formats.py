"""JSON files with an object for each video: ActivityNet and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from .collector import Collector, Converter
from .facts import VideoFacts, facts_from_table
from .source_file import SourceFile
from .tables import charades_classes
from .values import parse_positive, parse_seconds

_DURATION_KEYS = ('duration', 'duration_second')
_FRAME_KEYS = ('segment(frames)', 'segment_frame')
# Taken over, or derived from what is.
_VIDEO_KEYS = (*_DURATION_KEYS, 'subset', 'fps', 'file', 'annotations')
_ACTION_KEYS = (*_FRAME_KEYS, 'segment', 'label', 'class', 'label_id', 'idx')
_STAMPS_KEY = 'gt_second_stamps'
_ONE_CLASS = 'action'


def _looks_like_videos(data: Any, action_key: str) -> bool:
    """Whether this is an object of videos with lists of actions that have a key.

    Judged by the first videos; at least one of them needs an action.
    """
    entries = list(data.values())[:100] if isinstance(data, dict) else []
    if not all(isinstance(entry, dict) for entry in entries):
        return False
    lists = [entry.get('annotations', []) for entry in entries]
    return any(lists) and all(
        isinstance(actions, list)
        and all(isinstance(a, dict) and action_key in a for a in actions)
        for actions in lists
    )


def _first_video(source: SourceFile) -> dict[str, Any]:
    first = next(iter(source.json_object.values()), None)
    return first if isinstance(first, dict) else {}


def _first(entry: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((entry[key] for key in keys if key in entry), None)


def _places(
    source: SourceFile, video: str, key: str, items: list[Any]
) -> Iterator[tuple[str, Any]]:
    """Each item with its place."""
    for index, item in enumerate(items):
        yield f'{source}: {video}: {key}[{index}]', item


def _read_videos(
    source: SourceFile,
    videos: Any,
    collector: Collector,
    facts: Mapping[str, VideoFacts],
) -> None:
    """Reads an object of videos, whatever the dialect calls its keys.

    "segment" holds seconds, as numbers or as text; "label" is a name, or a number
    beside a name in "class".
    """
    if not isinstance(videos, dict):
        raise UserError(f'{source}: needs an object with an entry per video')
    if source.duplicate_keys:
        names = ', '.join(source.duplicate_keys[:3])
        raise UserError(
            f'{source}: {len(source.duplicate_keys)} keys stand more than once in the '
            f'same object ({names}); only the last would be seen. Merge them.'
        )
    others: dict[str, None] = {}
    for video, entry in videos.items():
        if not isinstance(entry, dict):
            raise UserError(f'{source}: {video}: must be an object')
        file = entry.get('file')
        if file is not None and not isinstance(file, str):
            raise UserError(f'{source}: {video}: "file" must be a name, got {file!r}')
        others.update(dict.fromkeys(key for key in entry if key not in _VIDEO_KEYS))
        known = facts.get(video, VideoFacts())
        collector.add_video(
            video,
            subset=entry.get('subset') or known.subset,
            duration=_first(entry, _DURATION_KEYS),
            fps=entry.get('fps', known.fps),
            file=file,
        )
        # Test videos of ActionFormer's and OpenTAD's files have no such key.
        actions = entry.get('annotations', [])
        if not isinstance(actions, list):
            raise UserError(
                f'{source}: {video}: "annotations" must be a list, got {actions!r}'
            )
        for where, action in _places(source, video, 'annotations', actions):
            action = action if isinstance(action, dict) else {}
            others.update(
                dict.fromkeys(key for key in action if key not in _ACTION_KEYS)
            )
            segment = action.get('segment')
            if not isinstance(segment, list) or len(segment) != 2:
                collector.drop('"segment" is not [start, end]', where, video)
                continue
            label = action.get('class', action.get('label'))
            if isinstance(label, int) and collector.options.classes is not None:
                label = collector.options.classes.at(label)
            collector.add_action(
                video, *segment, label, where, _first(action, _FRAME_KEYS)
            )
    if others:
        collector.note(f'fields not taken over: {", ".join(others)}')


@Converter(
    'activitynet',
    'ActivityNet JSON with a "database": ActionFormer, OpenTAD, G-TAD, ...',
    lambda source: _looks_like_videos(source.json_object.get('database'), 'segment'),
)
def read_activitynet(source: SourceFile, collector: Collector) -> None:
    """Reads the official ActivityNet format, and every dialect with a "database".

    ActionFormer, OpenTAD, BackTAL, SF-Net, R-C3D, G-TAD, DETAD, and this project's
    own files.
    """
    data = source.json if isinstance(source.json, dict) else {}
    if isinstance(data.get('classes'), list) and collector.classes is None:
        collector.classes = data['classes']
    _read_videos(source, data.get('database'), collector, facts={})


@Converter(
    'mmaction2',
    'JSON with videos at the top: MMAction2 anet_anno_*.json, BMN, RTD-Net',
    lambda source: _looks_like_videos(source.json_or_none, 'segment'),
)
def read_mmaction2(source: SourceFile, collector: Collector) -> None:
    """Reads files without "database": MMAction2's, BMN, RTD-Net.

    ``anet_anno_action.json`` names no subsets; they are in ``video_info_new.csv``,
    which must lie beside it. Of ``anet_anno_train.json`` and the like the file name
    tells.
    """
    facts: dict[str, VideoFacts] = {}
    info = source.sibling('video_info_new.csv')
    if info:
        collector.note(f'subsets and frame rates are from {info}')
        facts = facts_from_table(info)
    name = source.stem.rpartition('_')[2]
    if not facts and name in ('train', 'val', 'test') and '_' in source.stem:
        facts = {video: VideoFacts(subset=name) for video in source.json_object}
    _read_videos(source, source.json, collector, facts)


@Converter(
    'afsd-activitynet',
    'ActivityNet JSON of AFSD, with start_frame and end_frame',
    lambda source: _looks_like_videos(source.json_or_none, 'start_frame'),
)
def read_afsd_activitynet(source: SourceFile, collector: Collector) -> None:
    """Reads AFSD's ``video_info_train_val.json``, in frames of its own videos.

    AFSD computed the frames as seconds times "fps"; this is turned round.
    """
    for video, entry in source.json.items():
        fps = parse_positive(entry.get('fps'))
        if fps is None:
            raise UserError(
                f'{source}: {video}: needs "fps" to turn frames into seconds, '
                f'got {entry.get("fps")!r}'
            )
        # Not taken as "fps": it is the rate of AFSD's resampled video.
        collector.add_video(
            video, subset=entry.get('subset'), duration=entry.get('duration')
        )
        items = entry.get('annotations', [])
        for where, item in _places(source, video, 'annotations', items):
            frames = (parse_seconds(item.get(k)) for k in ('start_frame', 'end_frame'))
            times = (None if f is None else frames_to_seconds(f, fps) for f in frames)
            collector.add_action(video, *times, item.get('label'), where)


@Converter(
    'charades-json',
    'charades.json of pytorch-i3d, with Charades_v1_classes.txt',
    lambda source: isinstance(_first_video(source).get('actions'), list),
)
def read_charades_json(source: SourceFile, collector: Collector) -> None:
    """Reads ``charades.json`` of PyTorch I3D: actions are ``[class, start, end]``."""
    names = charades_classes(source, collector)
    for video, entry in source.json.items():
        collector.add_video(
            video, subset=entry.get('subset'), duration=entry.get('duration')
        )
        for where, action in _places(source, video, 'actions', entry['actions']):
            match action:
                case [int(number), start, end]:
                    collector.add_action(video, start, end, names.at(number), where)
                case _:
                    collector.drop('action is not [class, start, end]', where, video)


@Converter(
    'second-stamps',
    f'proposal ground truth with {_STAMPS_KEY}; the one class is called {_ONE_CLASS!r}',
    lambda source: _STAMPS_KEY in _first_video(source),
)
def read_second_stamps(source: SourceFile, collector: Collector) -> None:
    """Reads segments without classes of proposal generators; all become one class."""
    for video, entry in source.json.items():
        collector.add_video(video, duration=entry.get('duration'), fps=entry.get('fps'))
        segments = entry.get(_STAMPS_KEY) or []
        for where, segment in _places(source, video, _STAMPS_KEY, segments):
            match segment:
                case [start, end]:
                    collector.add_action(video, start, end, _ONE_CLASS, where)
                case _:
                    collector.drop('segment is not [start, end]', where, video)
