"""A file of unknown format, parsed at most once in each way."""

from __future__ import annotations

import codecs
import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmtal_mts.utils.errors import UserError

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        where (str): File and line, for messages.
        values (dict[str, str]): Values by column, without space around them; a
            missing one is ''.
    """

    where: str
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


class SourceFile:
    """A file, as text, JSON, table or XML.

    Args:
        path (str | Path): Existing file.

    Raises:
        UserError: By the properties, if the content is not what is asked for.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.duplicate_keys: list[str] = []

    @property
    def name(self) -> str:
        """str: Name without folder."""
        return self.path.name

    @cached_property
    def text(self) -> str:
        """str: Decoded content, UTF-8 or UTF-16."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UserError(
                f'{self.path}: cannot be read ({error.strerror})'
            ) from error
        encoding = 'utf-16' if data[:2] in _UTF16_MARKS else 'utf-8-sig'
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            raise UserError(
                f'{self.path}: not a text file in UTF-8 or UTF-16 ({error.reason} at '
                f'byte {error.start}). Save it as UTF-8.'
            ) from error

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """list[tuple[str, str]]: Place and content of each line that is not empty."""
        return [
            (f'{self.path}:{number}', line.strip())
            for number, line in enumerate(self.text.splitlines(), start=1)
            if line.strip()
        ]

    @cached_property
    def json(self) -> Any:
        """Any: Content of a JSON file; ``duplicate_keys`` names repeated keys."""

        def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            result: dict[str, Any] = {}
            for key, value in pairs:
                if key in result:
                    self.duplicate_keys.append(key)
                result[key] = value
            return result

        try:
            return json.loads(self.text, object_pairs_hook=collect)
        except (ValueError, RecursionError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f'{self.path}: not valid JSON ({error})') from error

    @cached_property
    def json_or_none(self) -> Any:
        """Any: Content of a JSON file, None if it is none."""
        try:
            return self.json if self.text.lstrip()[:1] in ('{', '[') else None
        except UserError:
            return None

    @cached_property
    def columns(self) -> list[str]:
        """list[str]: First row of a table with commas, semicolons or tabs."""
        return self._parse(first_line=0)[0]

    @cached_property
    def rows(self) -> list[Row]:
        """list[Row]: Rows of the table below the first one."""
        return self.rows_below(0)

    def rows_below(self, first_line: int) -> list[Row]:
        """Reads a table that begins at some line.

        Args:
            first_line (int): Line with the names of the columns, 0 is the first.

        Returns:
            list[Row]: Rows below it.

        Raises:
            UserError: If a row has more values than there are columns.
        """
        columns, rows = self._parse(first_line)
        if len(set(columns)) != len(columns):
            repeated = sorted({name for name in columns if columns.count(name) > 1})
            raise UserError(f'{self.path}: the columns {repeated} stand there twice')
        result = []
        for number, values in rows:
            if len(values) > len(columns) and any(values[len(columns) :]):
                raise UserError(
                    f'{self.path}:{number}: {len(values)} values for {len(columns)} '
                    'columns. Quote values that contain the separator.'
                )
            values = values + [''] * (len(columns) - len(values))
            result.append(Row(f'{self.path}:{number}', dict(zip(columns, values))))
        return result

    def _parse(self, first_line: int) -> tuple[list[str], list[tuple[int, list[str]]]]:
        """Returns the columns, and number and values of each row."""
        lines = self.text.splitlines(keepends=True)[first_line:]
        head = lines[0] if lines else ''
        separator = max('\t,;', key=head.count)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        try:
            table = [
                (first_line + reader.line_num, [value.strip() for value in values])
                for values in reader
            ]
        except csv.Error as error:
            raise UserError(
                f'{self.path}:{first_line + reader.line_num}: not a table ({error})'
            ) from error
        columns = table[0][1] if table else []
        return columns, [row for row in table[1:] if any(row[1])]

    @cached_property
    def xml(self) -> ElementTree.Element:
        """ElementTree.Element: Root of an XML document.

        Documents with a DOCTYPE are refused: it is the only place where entities can
        be declared, which may expand to gigabytes or name other files.
        """
        if '<!DOCTYPE' in self.text:
            raise UserError(
                f'{self.path}: has a DOCTYPE, which annotation tools do not write; it '
                'is refused because of what entities can do. Remove it.'
            )
        try:
            # Given as str, so that the parser cannot decode it in another way than
            # the line above did.
            return ElementTree.fromstring(self.text)
        except ElementTree.ParseError as error:
            raise UserError(f'{self.path}: not valid XML ({error})') from error

    def sibling(self, name: str) -> SourceFile | None:
        """Finds another file in the same folder.

        Args:
            name (str): Name of the file.

        Returns:
            SourceFile, optional: None if there is none.
        """
        path = self.path.with_name(name)
        return SourceFile(path) if path.is_file() else None
