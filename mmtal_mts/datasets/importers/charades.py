"""Charades: the official table, and the JSON file made of it."""

from __future__ import annotations

from typing import Any

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .class_names import ClassNames, read_class_names
from .collector import AnnotationCollector
from .source_file import SourceFile

_CLASS_FILE = 'Charades_v1_classes.txt'


def _class_names(
    source: SourceFile, collector: AnnotationCollector, options: ImportOptions
) -> ClassNames:
    """Returns the classes a person gave, or those beside the file."""
    if options.classes is not None:
        return options.classes
    beside = source.sibling(_CLASS_FILE)
    if beside is None:
        raise UserError(
            f'{source.path}: the classes are numbers; put {_CLASS_FILE} beside it or '
            'name it with --classes'
        )
    collector.note(f'class names are from {beside.path}')
    names = read_class_names(beside)
    collector.classes = names.names
    return names


class CharadesImporter(Importer):
    """``Charades_v1_train.csv`` and ``_test.csv``: a video's actions in one cell."""

    name = 'charades'
    summary = 'Charades_v1_*.csv with Charades_v1_classes.txt'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix != '.csv':
            return False
        return {'id', 'script', 'actions', 'length'} <= set(source.columns)

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        names = _class_names(source, collector, options)
        subset = 'training' if source.stem.endswith('_train') else 'test'
        for row in source.rows:
            video = row['id']
            collector.add_video(video, subset=subset, duration=row['length'])
            for action in filter(None, row['actions'].split(';')):
                values = action.split()
                if len(values) != 3:
                    collector.drop('action is not "CLASS START END"', row.where, video)
                    continue
                class_id, start, end = values
                label = names.by_id(class_id) or ''
                collector.add_action(video, start, end, label, row.where)


class CharadesJSONImporter(Importer):
    """``charades.json`` of PyTorch I3D: actions are ``[class, start, end]``."""

    name = 'charades-json'
    summary = 'charades.json of pytorch-i3d, with Charades_v1_classes.txt'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        if not isinstance(data, dict) or not data:
            return False
        first = next(iter(data.values()))
        return isinstance(first, dict) and isinstance(first.get('actions'), list)

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        names = _class_names(source, collector, options)
        for video, entry in source.json.items():
            collector.add_video(
                video, subset=entry.get('subset'), duration=entry.get('duration')
            )
            for index, action in enumerate(entry['actions']):
                where = f'{source.path}: {video}: actions[{index}]'
                if not self._is_action(action):
                    collector.drop('action is not [class, start, end]', where, video)
                    continue
                label = names.at(action[0]) or ''
                collector.add_action(video, action[1], action[2], label, where)

    @staticmethod
    def _is_action(action: Any) -> bool:
        return (
            isinstance(action, list) and len(action) == 3 and isinstance(action[0], int)
        )
