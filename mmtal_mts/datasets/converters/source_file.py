"""A file of unknown format, parsed at most once in each way, and its values."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from ...utils.io import parse_json
from ..sources import VIDEO_EXTENSIONS

_EXTENSIONS = (*VIDEO_EXTENSIONS, '.npy', '.wav', '.mp3')
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP_MARK = b'\x1f\x8b'
_SHEETS = ('.xls', '.xlsx', '.xlsm', '.ods')
# The largest published annotation is 0.1 GB; more is a file that lies about itself.
_MAX_BYTES = 2**30
# First bytes of files that are no text, what they are, and what to do with them.
_SHEET = 'no text. It cannot be opened here: save each sheet as CSV.'
_PICKLE = 'a Python pickle, no text. It is not read, because it may run any code.'
_BINARY_FILES = {
    b'\xd0\xcf\x11\xe0': f'an Excel 97-2003 file (.xls), {_SHEET}',
    b'PK\x03\x04': f'a spreadsheet (.xlsx, .ods) or a ZIP archive, {_SHEET}',
    **dict.fromkeys((b'\x80\x02', b'\x80\x03', b'\x80\x04'), _PICKLE),
}


def parse_seconds(value: Any) -> float | None:
    """Reads a number, or a time such as '1:02.5', to the nearest double, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        if not isinstance(value, str) or ':' not in value:
            seconds = float(value)
        else:
            parts = value.strip().lstrip('-').split(':')
            if len(parts) > 3:
                return None
            # Decimal, because a sum of doubles would be off by an ulp.
            total = Decimal(0)
            for part in parts:
                total = total * 60 + Decimal(part)
            seconds = float(-total if value.strip().startswith('-') else total)
    except (ValueError, ArithmeticError):
        return None
    return seconds if math.isfinite(seconds) else None


def parse_positive(value: Any) -> float | None:
    """Reads a duration or a frame rate; None if it is not a positive number."""
    number = parse_seconds(value)
    return number if number is not None and number > 0 else None


def parse_frame(value: Any, fps: float, first: int = 0) -> float | None:
    """Reads a frame number, counted from ``first``, as the seconds of its begin."""
    number = parse_seconds(value)
    return None if number is None else frames_to_seconds(number - first, fps)


def media_name(path: str) -> str:
    """Takes the file name out of a path or URL, of any operating system."""
    if '://' in path:
        path = unquote(path)
    return path.replace('\\', '/').rstrip('/').rsplit('/', 1)[-1]


def video_id(path: str) -> str:
    """Takes the file name out of a path or URL, without the extension of a video."""
    name = media_name(path)
    stem, _, extension = name.rpartition('.')
    # Other points may belong to the id.
    return stem if stem and f'.{extension.lower()}' in _EXTENSIONS else name


Row = tuple[str, dict[str, str]]


class SourceFile:
    """A file, as text, JSON, table or XML, also compressed by gzip.

    As a string it is its name in messages. Tables are read by :mod:`csv` and not by
    pandas, which knows no line numbers for messages; pandas opens spreadsheets.

    Args:
        path: Existing file.
        sheet: Name of one sheet of a spreadsheet.
        text: Content, if it need not be read from the file.

    Raises:
        UserError: By the properties, if the content is not what is asked for.
    """

    def __init__(self, path: str | Path, sheet: str = '', text: str | None = None):
        self.path = Path(path)
        # Without ".gz"; a sheet is a table.
        name = self.path.name
        self.name = name[:-3] if name.lower().endswith('.gz') else name
        self.stem = Path(self.name).stem
        self.suffix = '.csv' if sheet else Path(self.name).suffix.lower()
        self._where = f'{path} [{sheet}]' if sheet else str(path)
        if text is not None:
            self.text = text

    def __str__(self) -> str:
        return self._where

    @classmethod
    def open(cls, path: str | Path) -> list[SourceFile]:
        """Opens a file; of a spreadsheet each sheet that is not empty, as a table."""
        if Path(path).suffix.lower() not in _SHEETS:
            return [cls(path)]
        import pandas as pd

        try:
            sheets = pd.read_excel(
                path, sheet_name=None, header=None, dtype=str, keep_default_na=False
            )
        # Engines are optional packages, and each has its own errors for damage; what
        # is wrong, the text of the source says.
        except Exception:
            return [cls(path)]
        sources = []
        for name, sheet in sheets.items():
            if not sheet.empty:
                text = io.StringIO()
                csv.writer(text, delimiter='\t').writerows(sheet.values.tolist())
                sources.append(cls(path, name, text.getvalue()))
        return sources

    def sibling(self, name: str) -> SourceFile | None:
        """Finds another file in the same folder, compressed or not."""
        paths = (self.path.with_name(name), self.path.with_name(f'{name}.gz'))
        return next((SourceFile(path) for path in paths if path.is_file()), None)

    def error(self, problem: str) -> UserError:
        """Makes the error that names this file."""
        return UserError(f'{self}: {problem}')

    @cached_property
    def text(self) -> str:
        """Decoded content, UTF-8 or UTF-16, uncompressed."""
        try:
            with open(self.path, 'rb') as file:
                is_packed = file.peek(2).startswith(_GZIP_MARK)
                unpacked = gzip.GzipFile(fileobj=file) if is_packed else file
                data = unpacked.read(_MAX_BYTES + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            problem = f'damaged gzip file ({error}). Download it again.'
            raise self.error(problem) from error
        except OSError as error:
            raise self.error(f'cannot be read ({error.strerror})') from error
        if len(data) > _MAX_BYTES:
            raise self.error('uncompressed larger than a gibibyte. Look what it holds.')
        for mark, problem in _BINARY_FILES.items():
            if data.startswith(mark):
                raise self.error(f'is {problem}')
        try:
            text = data.decode('utf-16' if data[:2] in _UTF16_MARKS else 'utf-8-sig')
        except UnicodeDecodeError as error:
            raise self.error(
                f'not a text file in UTF-8 or UTF-16 ({error.reason} at byte '
                f'{error.start}). Save it as UTF-8.'
            ) from error
        if '<NXMLINTERCHANGE' in text[:2000]:
            raise self.error(
                'is a template of The Observer XT, which holds no observation. Export '
                'the observations as a table with start and stop times.'
            )
        return text

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """Place and content of each line that is not empty."""
        lines = enumerate(map(str.strip, self.text.splitlines()), start=1)
        return [(f'{self}:{number}', line) for number, line in lines if line]

    @property
    def is_json(self) -> bool:
        """Whether the content begins as that of a JSON file."""
        return self.text.lstrip().startswith(('{', '['))

    @cached_property
    def json(self) -> Any:
        """Content of a JSON file, in which no object may have equal keys."""
        text = self.text
        try:
            content, repeated = parse_json(text)
        except ValueError as error:
            raise self.error(f'not valid JSON ({error})') from error
        if repeated:
            names = f'{len(repeated)} keys ({", ".join(repeated[:3])})'
            raise self.error(f'{names} stand more than once in an object. Merge them.')
        return content

    def table(self, first_line: int = 0) -> list[tuple[str, list[str]]]:
        """Reads a table with commas, semicolons or tabs, from a line counted from 0.

        Returns place and values of its first row, and of each other that is not empty.
        """
        lines = self.text.splitlines(keepends=True)[first_line:]
        separator = max('\t,;', key=''.join(lines[:1]).count)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        table = []
        try:
            for values in reader:
                values = [value.strip() for value in values]
                if any(values) or not table:
                    table.append((f'{self}:{first_line + reader.line_num}', values))
        except csv.Error as error:
            place = f'{self}:{first_line + reader.line_num}'
            raise UserError(f'{place}: not a table ({error})') from error
        return table or [(str(self), [])]

    @cached_property
    def columns(self) -> list[str]:
        """First row of the table."""
        return self.table()[0][1]

    def rows(self, first_line: int = 0, names: Sequence[str] = ()) -> list[Row]:
        """Reads a table by the names of its columns, which its first row may give.

        Returns file and line of each row, and its values; a missing one is ''.
        """
        table = self.table(first_line)
        columns, rows = (names, table) if names else (table[0][1], table[1:])
        if len(set(columns)) != len(columns):
            repeated = sorted({name for name in columns if columns.count(name) > 1})
            raise self.error(f'the columns {repeated} appear twice')
        result = []
        for where, values in rows:
            if any(values[len(columns) :]):
                raise UserError(
                    f'{where}: {len(values)} values for {len(columns)} columns. Quote '
                    'values that contain the separator.'
                )
            cells = zip_longest(columns, values[: len(columns)], fillvalue='')
            result.append((where, dict(cells)))
        return result

    @cached_property
    def xml(self) -> ElementTree.Element:
        """Root of an XML document.

        Documents with a DOCTYPE are refused: it is the only place where entities can
        be declared, which may expand to gigabytes or name other files.
        """
        if '<!DOCTYPE' in self.text:
            raise self.error('has a DOCTYPE, whose entities are a danger. Remove it.')
        try:
            # Given as str, so that the parser cannot decode it in another way than
            # the line above did.
            return ElementTree.fromstring(self.text)
        except ElementTree.ParseError as error:
            raise self.error(f'not valid XML ({error})') from error
