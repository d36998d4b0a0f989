"""EPIC-KITCHENS-100."""

from __future__ import annotations

from .base import Importer, ImportOptions
from .class_names import read_class_names
from .collector import AnnotationCollector
from .source_file import SourceFile
from .video_facts import facts_from_table


class EpicKitchensImporter(Importer):
    """``EPIC_100_train.csv`` or ``EPIC_100_validation.csv``.

    The class is the verb, the noun, or 'VERB NOUN'. Names are those of the class
    tables beside the file, because a class has many spellings in the narrations.
    """

    name = 'epic100'
    summary = 'EPIC_100_*.csv with EPIC_100_video_info.csv and the class tables'
    label_fields = ('verb', 'noun', 'action')

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix != '.csv':
            return False
        return {'video_id', 'start_timestamp', 'stop_timestamp', 'verb_class'} <= set(
            source.columns
        )

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        info = source.sibling('EPIC_100_video_info.csv')
        facts = facts_from_table(info) if info else {}
        if info:
            collector.note(f'durations and frame rates are from {info.path}')
        field = self.label_field(options)
        parts = ('verb', 'noun') if field == 'action' else (field,)
        names = {part: self._names(source, part, collector) for part in parts}
        if len(parts) == 1 and names[field]:
            # All of them, so that training and validation files agree.
            collector.classes = list(names[field].values())
        subset = source.stem.rsplit('_', 1)[-1]
        for row in source.rows:
            video = row['video_id']
            if video in facts:
                collector.add_video(
                    video,
                    subset=subset,
                    duration=facts[video].duration,
                    fps=facts[video].fps,
                )
            else:
                collector.add_video(video, subset=subset)
            label = ' '.join(
                names[part].get(row[f'{part}_class'], row[part]) for part in parts
            )
            collector.add_action(
                video, row['start_timestamp'], row['stop_timestamp'], label, row.where
            )

    @staticmethod
    def _names(
        source: SourceFile, part: str, collector: AnnotationCollector
    ) -> dict[str, str]:
        """Returns names by class number; without their table, none."""
        table = source.sibling(f'EPIC_100_{part}_classes.csv')
        if table is None:
            collector.note(
                f'no EPIC_100_{part}_classes.csv beside {source.path}: classes are '
                'called as they were narrated first hand'
            )
            return {}
        classes = read_class_names(table)
        return dict(zip(classes.ids, classes.names))
