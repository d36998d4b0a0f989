"""A file of unknown format, parsed at most once in each way."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from ...utils.errors import UserError
from ...utils.io import parse_json

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP_MARK = b'\x1f\x8b'
_SHEETS = ('.xls', '.xlsx', '.xlsm', '.ods')
# The largest published annotation is 0.1 GB; more is a file that lies about itself.
_MAX_BYTES = 2**30
# First bytes of files that are no text, what they are, and what to do with them.
_SPREADSHEET = 'It cannot be opened here: save each sheet as CSV.'
_PICKLE = 'a Python pickle, no text. It is not read, because it may run any code.'
_BINARY_FILES = {
    b'\xd0\xcf\x11\xe0': f'an Excel 97-2003 file (.xls), no text. {_SPREADSHEET}',
    b'PK\x03\x04': (
        f'a spreadsheet (.xlsx, .ods) or a ZIP archive, no text. {_SPREADSHEET}'
    ),
    **dict.fromkeys((b'\x80\x02', b'\x80\x03', b'\x80\x04'), _PICKLE),
}


class Row(NamedTuple):
    """File and line of a row, and its values by column; a missing one is ''."""

    where: str
    values: dict[str, str]


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
        self.duplicate_keys: list[str] = []
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
        for path in (self.path.with_name(name), self.path.with_name(f'{name}.gz')):
            if path.is_file():
                return SourceFile(path)
        return None

    def _bytes(self) -> bytes:
        """The content, uncompressed."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UserError(f'{self}: cannot be read ({error.strerror})') from error
        if not data.startswith(_GZIP_MARK):
            return data
        try:
            with gzip.open(self.path) as file:
                data = file.read(_MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f'{self}: damaged gzip file ({error}). Download it again.'
            ) from error
        if len(data) > _MAX_BYTES:
            raise UserError(
                f'{self}: uncompressed it is larger than a gibibyte, which no '
                'annotation is. Unpack it, and look what it holds.'
            )
        return data

    @cached_property
    def text(self) -> str:
        """Decoded content, UTF-8 or UTF-16."""
        data = self._bytes()
        for mark, problem in _BINARY_FILES.items():
            if data.startswith(mark):
                raise UserError(f'{self}: is {problem}')
        encoding = 'utf-16' if data[:2] in _UTF16_MARKS else 'utf-8-sig'
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            raise UserError(
                f'{self}: not a text file in UTF-8 or UTF-16 ({error.reason} at '
                f'byte {error.start}). Save it as UTF-8.'
            ) from error
        if '<NXMLINTERCHANGE' in text[:2000]:
            raise UserError(
                f'{self}: is a project template of The Observer XT, which lists '
                'behaviours and holds no observation. Export the observations as a '
                'table with start and stop times.'
            )
        return text

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """Place and content of each line that is not empty."""
        return [
            (f'{self}:{number}', line.strip())
            for number, line in enumerate(self.text.splitlines(), start=1)
            if line.strip()
        ]

    @cached_property
    def json(self) -> Any:
        """Content of a JSON file; ``duplicate_keys`` names repeated keys."""
        text = self.text
        try:
            content, self.duplicate_keys = parse_json(text)
        except ValueError as error:
            raise UserError(f'{self}: not valid JSON ({error})') from error
        return content

    @cached_property
    def json_or_none(self) -> Any:
        """Content of a JSON file, None if it is none."""
        try:
            return self.json if self.text.lstrip()[:1] in ('{', '[') else None
        except UserError:
            return None

    @property
    def json_object(self) -> dict[str, Any]:
        """Content of a JSON file that holds an object; an empty one of any other."""
        return self.json_or_none if isinstance(self.json_or_none, dict) else {}

    @cached_property
    def columns(self) -> list[str]:
        """First row of a table with commas, semicolons or tabs."""
        return self.table(0)[0]

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the table below the first one."""
        return self.rows_below(0)

    def table(self, first_line: int) -> tuple[list[str], list[tuple[str, list[str]]]]:
        """Reads a table from a line on, counted from 0, whatever its columns.

        Returns its first row, and place and values of each other that is not empty.
        """
        lines = self.text.splitlines(keepends=True)[first_line:]
        head = lines[0] if lines else ''
        separator = max('\t,;', key=head.count)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        table = []
        try:
            for values in reader:
                where = f'{self}:{first_line + reader.line_num}'
                table.append((where, [value.strip() for value in values]))
        except csv.Error as error:
            raise UserError(
                f'{self}:{first_line + reader.line_num}: not a table ({error})'
            ) from error
        columns = table[0][1] if table else []
        return columns, [row for row in table[1:] if any(row[1])]

    def rows_below(self, first_line: int) -> list[Row]:
        """Reads a table whose names of columns are in a line, counted from 0."""
        columns, rows = self.table(first_line)
        if len(set(columns)) != len(columns):
            repeated = sorted({name for name in columns if columns.count(name) > 1})
            raise UserError(f'{self}: the columns {repeated} stand there twice')
        result = []
        for where, values in rows:
            if any(values[len(columns) :]):
                raise UserError(
                    f'{where}: {len(values)} values for {len(columns)} columns. Quote '
                    'values that contain the separator.'
                )
            values = values[: len(columns)] + [''] * (len(columns) - len(values))
            result.append(Row(where, dict(zip(columns, values, strict=True))))
        return result

    @cached_property
    def xml(self) -> ElementTree.Element:
        """Root of an XML document.

        Documents with a DOCTYPE are refused: it is the only place where entities can
        be declared, which may expand to gigabytes or name other files.
        """
        if '<!DOCTYPE' in self.text:
            raise UserError(
                f'{self}: has a DOCTYPE, which annotation tools do not write; it '
                'is refused because of what entities can do. Remove it.'
            )
        try:
            # Given as str, so that the parser cannot decode it in another way than
            # the line above did.
            return ElementTree.fromstring(self.text)
        except ElementTree.ParseError as error:
            raise UserError(f'{self}: not valid XML ({error})') from error
