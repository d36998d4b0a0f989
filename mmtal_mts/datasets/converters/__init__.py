"""Converters of other annotation formats into the native one."""

from .class_names import ClassNames, read_class_names
from .collector import ConvertOptions
from .convert import (
    Converted,
    convert_annotations,
    describe_conversion,
    detect_format,
)
from .registry import CONVERTERS, Converter
from .source_file import SourceFile
from .video_facts import VideoFacts, read_video_facts

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
