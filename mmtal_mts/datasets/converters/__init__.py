"""Converters of other annotation formats into the native one."""

# Importing a module of formats registers them.
from . import json_formats, tables, tool_formats  # noqa: F401
from .convert import CONVERTERS, Converter, convert_annotations, describe_conversion
from .facts import read_class_names
from .source_file import SourceFile

__all__ = [
    'CONVERTERS',
    'Converter',
    'SourceFile',
    'convert_annotations',
    'describe_conversion',
    'read_class_names',
]
