"""Files that list the classes of a data set."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...utils.errors import UserError
from .source_file import SourceFile

_ID_AND_NAME = re.compile(r'([a-z]?\d+)[\s,;:]+(\S.*)')


@dataclass(frozen=True)
class ClassNames:
    """Classes in their order.

    Attributes:
        names: Names.
        ids: What the file calls them, e.g. 'c077'; their positions where it only has
            names.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]

    def by_id(self, class_id: str) -> str | None:
        """Returns the class that the file calls so, None if there is none."""
        return dict(zip(self.ids, self.names, strict=True)).get(class_id)

    def at(self, position: int) -> str | None:
        """Returns the class at a position from 0, None if there is none."""
        return self.names[position] if 0 <= position < len(self.names) else None


def read_class_names(source: SourceFile) -> ClassNames:
    """Reads a list of classes.

    Known are: a name per line, an id and a name per line ('7 BaseballPitch', 'c000
    Holding some clothes'), tables with the columns id and key (EPIC-KITCHENS), JSON
    lists of names and JSON objects of names by id.

    Args:
        source: The file.

    Raises:
        UserError: There is none, or one is repeated.
    """
    pairs = _pairs(source)
    if not pairs or not all(isinstance(name, str) and name for _, name in pairs):
        raise UserError(
            f'{source}: no list of classes. Known are lines "NAME" or "ID NAME", '
            'tables with the columns id and key, JSON lists and objects.'
        )
    ids, names = zip(*pairs, strict=True)
    for what, values in (('ids', ids), ('names', names)):
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise UserError(f'{source}: the {what} {repeated} stand there twice')
    return ClassNames(names, ids)


def _pairs(source: SourceFile) -> list[tuple[str, str]]:
    """Ids and names in the order of the file."""
    data = source.json_or_none
    if isinstance(data, list):
        return [(str(position), name) for position, name in enumerate(data)]
    if isinstance(data, dict):
        return list(data.items())
    if {'id', 'key'} <= set(source.columns):
        return [(row['id'], row['key']) for row in source.rows]
    lines = [line for _, line in source.lines]
    matches = [_ID_AND_NAME.fullmatch(line) for line in lines]
    if all(matches):
        return [(match[1], match[2]) for match in matches if match]
    return [(str(position), name) for position, name in enumerate(lines)]
