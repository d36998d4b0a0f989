"""Reads the fields of a JSON object; what does not fit is told with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from mmtal_mts.utils import UserError

_NAMES = {
    str: 'a text',
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    list: 'a list',
    dict: 'an object {...}',
}
_REQUIRED = object()
_NAME = re.compile(r'[\w+.,= -]+')


class PlanFields:
    """The fields of one object of a plan.

    Args:
        value (Any): What the JSON has at this place.
        where (str): File and place, for messages.
        known (Sequence[str]): Names that the object may have.

    Raises:
        UserError: If it is no object, or has a field that is not known.
    """

    def __init__(self, value: Any, where: str, known: Sequence[str]) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise UserError(f'{where} is {_short(value)}: expected an object {{...}}')
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f'Did you mean {close[0]!r}? ' if close else ''
                raise UserError(
                    f'{where}: unknown field {name!r}. {hint}Known are '
                    f'{", ".join(known)}'
                )
        self._value = value

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def get(self, name: str, kind: type, default: Any = _REQUIRED) -> Any:
        """One field.

        Args:
            name (str): Of the field.
            kind (type): Type it must have; float takes whole numbers as well.
            default (Any): If the field is not there; without, it must be.

        Returns:
            Any: The value.

        Raises:
            UserError: If it is missing, of another type, or an empty text or list.
        """
        if name not in self._value:
            if default is _REQUIRED:
                raise UserError(
                    f'{self.where}: the field {name!r} is missing; expected '
                    f'{_NAMES[kind]}'
                )
            return default
        value = self._value[name]
        accepted = (int, float) if kind is float else kind
        # In Python true is a number.
        is_bool = isinstance(value, bool) and kind is not bool
        if is_bool or not isinstance(value, accepted):
            raise UserError(
                f'{self.where}: {name}={_short(value)}: expected {_NAMES[kind]}'
            )
        if value in ('', []):
            raise UserError(f'{self.where}: {name} is empty')
        return value

    def name(self) -> str:
        """The field ``name``, which must do as the name of a folder as well.

        Returns:
            str: The name.

        Raises:
            UserError: If it is missing or has a character that folders cannot have.
        """
        name = self.get('name', str)
        if not _NAME.fullmatch(name) or name.strip(' .') != name:
            raise UserError(
                f'{self.where}: name={name!r}: use letters, digits, blanks and any of '
                '+ . , = _ - (it becomes the name of a folder)'
            )
        return name


def check_unique(names: Sequence[Any], where: str) -> None:
    """Refuses a name that is used twice.

    Args:
        names (Sequence[Any]): Names or numbers.
        where (str): File and place, for the message.

    Raises:
        UserError: If two are equal; names also if they differ in case alone, which
            some file systems do not tell apart.
    """
    seen = set()
    for name in names:
        key = name.lower() if isinstance(name, str) else name
        if key in seen:
            raise UserError(f'{where}: {name!r} is there twice. Give each another one')
        seen.add(key)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
