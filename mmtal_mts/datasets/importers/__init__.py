"""Importers of other annotation formats into the native one."""

from .base import Importer, ImportOptions
from .class_names import ClassNames, read_class_names
from .registry import IMPORTERS, ImportResult, detect_format, import_annotations
from .source_file import SourceFile
from .video_facts import VideoFacts, probe_video, read_video_facts

__all__ = [
    'IMPORTERS',
    'ClassNames',
    'ImportOptions',
    'ImportResult',
    'Importer',
    'SourceFile',
    'VideoFacts',
    'detect_format',
    'import_annotations',
    'probe_video',
    'read_class_names',
    'read_video_facts',
]
