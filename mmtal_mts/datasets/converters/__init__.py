"""Converters of other annotation formats into the native one."""

from .collector import CONVERTERS, Converter, ConvertOptions
from .convert import (
    Converted,
    convert_annotations,
    describe_conversion,
    detect_format,
)
from .facts import ClassNames, VideoFacts, read_class_names, read_video_facts
from .source_file import SourceFile

__all__ = [
    'CONVERTERS',
    'ClassNames',
    'ConvertOptions',
    'Converted',
    'Converter',
    'SourceFile',
    'VideoFacts',
    'convert_annotations',
    'describe_conversion',
    'detect_format',
    'read_class_names',
    'read_video_facts',
]
