"""What command line tools share: settings of a config, and a place for tables."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction
from rich.console import Console

# Stands for a space where MMEngine would remove it; no argument can contain it.
_SPACE = '\0'
_FILE_WIDTH = 160


class CfgOptionsAction(DictAction):
    """``--cfg-options KEY=VALUE ...`` as MMEngine reads it, but spaces stay.

    MMEngine removes every space of a value, so that ``data_root='my data/'`` would name
    another folder. Here only those beside brackets and commas of a list go. What is not
    ``KEY=VALUE`` ends the program with a message instead of a traceback.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        text = val.strip().strip('\'"').strip()
        if ',' in text or text[:1] in ('[', '('):
            text = re.sub(r' *([,\[\]()]) *', r'\1', text)
        return _restore(DictAction._parse_iterable(text.replace(' ', _SPACE)))

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Adds the settings to the dict of the option; see :mod:`argparse`."""
        for item in values:
            key, equals, _ = item.partition('=')
            if not key.strip() or not equals:
                parser.error(
                    f'argument {option_string}: {item!r} is not KEY=VALUE. Remedy: no '
                    'spaces around "="; a value with spaces in quotes: KEY="two words"'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'argument {option_string}: {error}')


def _restore(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_restore(item) for item in value)
    return value.replace(_SPACE, ' ') if isinstance(value, str) else value


def result_console() -> Console:
    """Standard output as a place for tables.

    Returns:
        As wide as the terminal; in a file or a pipe wide enough for any table, whose
        numbers would be cut off otherwise.
    """
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    return console
