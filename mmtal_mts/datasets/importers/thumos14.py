"""THUMOS14 as its authors distribute it: a text file for each class."""

from __future__ import annotations

import re

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile

_FILE_NAME = re.compile(r'([A-Za-z]+)_(?:val|test)\.txt')
_LINE = re.compile(r'(video_\w+)\s+([\d.]+)\s+([\d.]+)')


class THUMOS14TextImporter(Importer):
    """Files such as ``Diving_val.txt`` with lines ``VIDEO  START END`` in seconds.

    The class is the file name; the subset is in the video ids. Durations are in
    another file of the data set.
    """

    name = 'thumos14'
    summary = 'THUMOS14, official folders of CLASS_val.txt and CLASS_test.txt'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if not _FILE_NAME.fullmatch(source.name):
            return False
        return any(_LINE.fullmatch(line) for _, line in source.lines[:3])

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        match = _FILE_NAME.fullmatch(source.name)
        label = match[1] if match else source.stem
        for where, line in source.lines:
            values = line.split()
            if len(values) != 3:
                collector.drop('line is not "VIDEO START END"', where)
                continue
            collector.add_action(*values, label, where)
