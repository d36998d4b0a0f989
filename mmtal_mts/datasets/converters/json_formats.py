"""JSON files with an object for each video: ActivityNet and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .convert import Conversion, Converter
from .facts import facts_beside
from .source_file import SourceFile, parse_frame, parse_positive
from .tables import charades_classes

_FRAME_KEYS = ('start_frame', 'end_frame')
# Taken over, or derived from what is.
_VIDEO_KEYS = ('duration', 'duration_second', 'subset', 'fps', 'file')
_ACTION_KEYS = (
    *('segment', 'segment(frames)', 'segment_frame', *_FRAME_KEYS),
    *('label', 'class', 'label_id', 'idx'),
)
_STAMPS_KEY = 'gt_second_stamps'


def _has_actions(videos: dict[str, dict], key: str, action_key: str = '') -> bool:
    """Whether videos have lists of actions under a key, and those another key.

    Judged by the first videos; at least one of them needs an action.
    """
    lists = [entry.get(key) or [] for entry in list(videos.values())[:100]]
    return any(lists) and all(
        isinstance(actions, list)
        and all(not action_key or action_key in dict(action) for action in actions)
        for actions in lists
    )


def _read_videos(
    source: SourceFile,
    videos: Any,
    result: Conversion,
    key: str = 'annotations',
    known: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Reads an object of videos that have a list of actions under ``key``.

    Of an action, "segment" holds seconds, as numbers or as text; "label" is a name, or
    a number beside a name in "class". ``known`` holds facts from elsewhere by video.
    """
    if not isinstance(videos, dict):
        raise source.error('needs an object with an entry per video')
    classes = dict(enumerate((result.classes or {}).values()))
    for video, entry in videos.items():
        if not isinstance(entry, dict):
            raise source.error(f'{video}: must be an object, got {entry!r}')
        # Test videos of ActionFormer's and OpenTAD's files have no such key.
        file, actions = entry.get('file'), entry.get(key, [])
        if not isinstance(file, str | None):
            raise source.error(f'{video}: "file" must be a name, got {file!r}')
        if not isinstance(actions, list):
            raise source.error(f'{video}: "{key}" must be a list, got {actions!r}')
        duration = entry.get('duration', entry.get('duration_second'))
        facts = {**(known or {}).get(video, {}), **entry, 'duration': duration}
        result.add_video(video, **facts)
        others = [name for name in entry if name not in (*_VIDEO_KEYS, key)]
        for index, action in enumerate(actions):
            where = f'{source}: {video}: {key}[{index}]'
            match action:
                case {'segment': [_, _] as segment}:
                    label = action.get('class', action.get('label'))
                    label = classes.get(label) if isinstance(label, int) else label
                    frames = action.get('segment(frames)', action.get('segment_frame'))
                    result.add_action(video, segment, label, where, frames)
                    others += [name for name in action if name not in _ACTION_KEYS]
                case _:
                    result.drop('"segment" is not [start, end]', where, video)
        if others:
            result.note('fields were not taken over', *others)


@Converter(
    'activitynet',
    lambda source: _has_actions(source.json['database'], 'annotations', 'segment'),
)
def _read_activitynet(source: SourceFile, result: Conversion) -> None:
    """ActivityNet JSON with a "database": ActionFormer, OpenTAD, G-TAD, ..."""
    data = source.json if isinstance(source.json, dict) else {}
    if isinstance(data.get('classes'), list):
        result.classes = result.classes or dict(enumerate(data['classes']))
    _read_videos(source, data.get('database'), result)


@Converter(
    'mmaction2', lambda source: _has_actions(source.json, 'annotations', 'segment')
)
def _read_mmaction2(source: SourceFile, result: Conversion) -> None:
    """JSON with videos at the top: MMAction2 anet_anno_*.json, BMN, RTD-Net.

    ``anet_anno_action.json`` names no subsets; they are in ``video_info_new.csv``,
    which must lie beside it. Of ``anet_anno_train.json`` and the like the file name
    tells.
    """
    known = facts_beside(source, 'video_info_new.csv', result)
    head, _, name = source.stem.rpartition('_')
    if not known and head and name in ('train', 'val', 'test'):
        known = dict.fromkeys(source.json, {'subset': name})
    _read_videos(source, source.json, result, known=known)


@Converter(
    'afsd-activitynet',
    lambda source: _has_actions(source.json, 'annotations', 'start_frame'),
)
def _read_afsd_activitynet(source: SourceFile, result: Conversion) -> None:
    """ActivityNet JSON of AFSD, with start_frame and end_frame.

    AFSD computed the frames as seconds times "fps"; this is turned round.
    """
    for video, entry in source.json.items():
        # Taken out: it is the rate of AFSD's resampled video.
        rate = entry.pop('fps', None)
        fps = parse_positive(rate)
        if fps is None:
            raise source.error(f'{video}: needs "fps" for its frames, got {rate!r}')
        for action in entry.get('annotations', []):
            action['segment'] = [parse_frame(action.get(k), fps) for k in _FRAME_KEYS]
    _read_videos(source, source.json, result)


@Converter('charades-json', lambda source: _has_actions(source.json, 'actions'))
def _read_charades_json(source: SourceFile, result: Conversion) -> None:
    """File charades.json of pytorch-i3d, with Charades_v1_classes.txt."""
    classes = dict(enumerate(charades_classes(source, result).values()))
    for entry in source.json.values():
        entry['actions'] = [
            {'segment': segment, 'label': classes.get(number)}
            for number, *segment in entry['actions']
        ]
    _read_videos(source, source.json, result, 'actions')


@Converter('second-stamps', lambda source: _has_actions(source.json, _STAMPS_KEY))
def _read_second_stamps(source: SourceFile, result: Conversion) -> None:
    """Proposal ground truth with gt_second_stamps; the one class is called 'action'."""
    for entry in source.json.values():
        segments = entry.get(_STAMPS_KEY) or []
        entry[_STAMPS_KEY] = [{'segment': s, 'label': 'action'} for s in segments]
    _read_videos(source, source.json, result, _STAMPS_KEY)
