"""JSON files with an object for each video: ActivityNet and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile
from .video_facts import VideoFacts, facts_from_table

_DURATION_KEYS = ('duration', 'duration_second')
_FRAME_KEYS = ('segment(frames)', 'segment_frame')
_INFO_FILE = 'video_info_new.csv'
# Taken over, or derived from what is.
_VIDEO_KEYS = (*_DURATION_KEYS, 'subset', 'fps', 'file', 'annotations')
_ACTION_KEYS = (*_FRAME_KEYS, 'segment', 'label', 'class', 'label_id', 'idx')


def looks_like_videos(data: Any, action_key: str) -> bool:
    """Tells whether this is an object of videos with lists of actions.

    Args:
        data (Any): Parsed JSON.
        action_key (str): Key that the actions must have.

    Returns:
        bool: Judged by the first videos; at least one of them needs an action.
    """
    if not isinstance(data, dict):
        return False
    seen = False
    for entry in list(data.values())[:100]:
        actions = entry.get('annotations', []) if isinstance(entry, dict) else None
        if not isinstance(actions, list):
            return False
        for action in actions:
            if not isinstance(action, dict) or action_key not in action:
                return False
            seen = True
    return seen


class _VideosImporter(Importer):
    """Reads objects of videos; the dialects differ in the names of the keys.

    Args are those of :class:`.Importer`. "segment" holds seconds, as numbers or as
    text; "label" is a name, or a number beside a name in "class".
    """

    def _read_videos(
        self,
        source: SourceFile,
        videos: Any,
        collector: AnnotationCollector,
        options: ImportOptions,
        facts: Mapping[str, VideoFacts],
    ) -> None:
        if not isinstance(videos, dict):
            raise UserError(f'{source.path}: needs an object with an entry per video')
        if source.duplicate_keys:
            names = ', '.join(source.duplicate_keys[:3])
            raise UserError(
                f'{source.path}: {len(source.duplicate_keys)} keys stand more than '
                f'once in the same object ({names}); only the last would be seen. '
                'Merge them.'
            )
        others: dict[str, None] = {}
        for video, entry in videos.items():
            if not isinstance(entry, dict):
                raise UserError(f'{source.path}: {video}: must be an object')
            others.update(dict.fromkeys(key for key in entry if key not in _VIDEO_KEYS))
            known = facts.get(video, VideoFacts())
            collector.add_video(
                video,
                subset=entry.get('subset') or known.subset,
                duration=next(
                    (entry[key] for key in _DURATION_KEYS if key in entry), None
                ),
                fps=entry.get('fps', known.fps),
                file=entry.get('file'),
            )
            # Test videos of ActionFormer's and OpenTAD's files have no such key.
            actions = entry.get('annotations', [])
            if not isinstance(actions, list):
                raise UserError(
                    f'{source.path}: {video}: "annotations" must be a list, got '
                    f'{actions!r}'
                )
            for index, action in enumerate(actions):
                where = f'{source.path}: {video}: annotations[{index}]'
                self._read_action(video, action, where, collector, options)
                if isinstance(action, dict):
                    names = (key for key in action if key not in _ACTION_KEYS)
                    others.update(dict.fromkeys(names))
        if others:
            collector.note(f'fields not taken over: {", ".join(others)}')

    @staticmethod
    def _read_action(
        video: str,
        action: Any,
        where: str,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        segment = action.get('segment') if isinstance(action, dict) else None
        if not isinstance(segment, list) or len(segment) != 2:
            collector.drop('"segment" is not [start, end]', where, video)
            return
        label = action.get('class', action.get('label'))
        if isinstance(label, int) and options.classes is not None:
            label = options.classes.at(label)
        frames = next((action[key] for key in _FRAME_KEYS if key in action), None)
        collector.add_action(video, *segment, label, where, frames)


class ActivityNetImporter(_VideosImporter):
    """The official ActivityNet format, and every dialect with a "database".

    ActionFormer, OpenTAD, BackTAL, SF-Net, R-C3D, G-TAD, DETAD, and this project's
    own files.
    """

    name = 'activitynet'
    summary = 'ActivityNet JSON with a "database": ActionFormer, OpenTAD, G-TAD, ...'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        return isinstance(data, dict) and looks_like_videos(
            data.get('database'), action_key='segment'
        )

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        data = source.json
        videos = data.get('database') if isinstance(data, dict) else None
        classes = data.get('classes') if isinstance(data, dict) else None
        if isinstance(classes, list) and collector.classes is None:
            collector.classes = classes
        self._read_videos(source, videos, collector, options, facts={})


class MMAction2Importer(_VideosImporter):
    """Files without "database": MMAction2's ``anet_anno_*.json``, BMN, RTD-Net.

    ``anet_anno_action.json`` names no subsets; they are in ``video_info_new.csv``,
    which must lie beside it. Of ``anet_anno_train.json`` and the like the file name
    tells.
    """

    name = 'mmaction2'
    summary = 'JSON with videos at the top: MMAction2 anet_anno_*.json, BMN, RTD-Net'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        return looks_like_videos(data, action_key='segment')

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        info = source.sibling(_INFO_FILE)
        facts = facts_from_table(info) if info else {}
        if info:
            collector.note(f'subsets and frame rates are from {info.path}')
        if not facts:
            facts = self._facts_from_name(source)
        videos = source.json
        self._read_videos(source, videos, collector, options, facts)

    @staticmethod
    def _facts_from_name(source: SourceFile) -> dict[str, VideoFacts]:
        for name in ('train', 'val', 'test'):
            if source.stem.endswith(f'_{name}') and isinstance(source.json, dict):
                return {video: VideoFacts(subset=name) for video in source.json}
        return {}
