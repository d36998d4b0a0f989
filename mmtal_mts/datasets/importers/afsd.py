"""The files of AFSD: two tables for THUMOS14, one JSON file for ActivityNet."""

from __future__ import annotations

from mmtal_mts.utils.errors import UserError

from .activitynet_json import looks_like_videos
from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile
from .values import parse_positive, parse_seconds
from .video_facts import facts_from_table

_COLUMNS = ('video', 'type', 'type_idx', 'start', 'end', 'startFrame', 'endFrame')


class AFSDTablesImporter(Importer):
    """``val_Annotation_ours.csv`` with ``val_video_info.csv`` beside it.

    Times are from the columns in seconds. The columns in frames are derived, wrongly
    for some videos; they are only kept for the checker, as "segment(frames)".
    """

    name = 'afsd-thumos14'
    summary = 'THUMOS14 tables of AFSD, *_Annotation*.csv and *_video_info.csv'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        return source.suffix == '.csv' and tuple(source.columns) == _COLUMNS

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        if not set(_COLUMNS) <= set(source.columns):
            raise UserError(f'{source.path}: needs the columns {", ".join(_COLUMNS)}')
        info = source.sibling(f'{source.name.split("_")[0]}_video_info.csv')
        facts = facts_from_table(info) if info else {}
        if info:
            collector.note(f'durations and frame rates are from {info.path}')
        for row in source.rows:
            video = row['video']
            if video in facts:
                collector.add_video(
                    video, duration=facts[video].duration, fps=facts[video].fps
                )
            frames = [parse_seconds(row[key]) for key in ('startFrame', 'endFrame')]
            collector.add_action(
                video,
                row['start'],
                row['end'],
                row['type'],
                row.where,
                None if None in frames else frames,
            )


class AFSDActivityNetImporter(Importer):
    """AFSD's ``video_info_train_val.json``, annotated in frames of its own videos.

    AFSD computed the frames as seconds times "fps"; this is turned round.
    """

    name = 'afsd-activitynet'
    summary = 'ActivityNet JSON of AFSD, with start_frame and end_frame'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        return looks_like_videos(source.json_or_none, action_key='start_frame')

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        for video, entry in source.json.items():
            fps = parse_positive(entry.get('fps'))
            if fps is None:
                raise UserError(
                    f'{source.path}: {video}: needs "fps" to turn frames into seconds, '
                    f'got {entry.get("fps")!r}'
                )
            # Not taken as "fps": it is the rate of AFSD's resampled video.
            collector.add_video(
                video, subset=entry.get('subset'), duration=entry.get('duration')
            )
            for index, item in enumerate(entry.get('annotations', [])):
                times = [
                    parse_seconds(item.get(key)) for key in ('start_frame', 'end_frame')
                ]
                start, end = (None if t is None else t / fps for t in times)
                where = f'{source.path}: {video}: annotations[{index}]'
                collector.add_action(video, start, end, item.get('label'), where)
