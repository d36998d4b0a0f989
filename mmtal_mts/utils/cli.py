"""What command line tools share: options, settings of a config, a place for tables."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction
from rich.console import Console

# Stands for a space where MMEngine would remove it; no argument can contain it.
_SPACE = '\0'
_FILE_WIDTH = 160


def parse_runner_args(parser: ArgumentParser, example: str) -> dict[str, Any]:
    """Parses the command line of a tool that runs a config, by a launcher or alone.

    Args:
        parser: With the options of the tool.
        example: Of what ``--cfg-options`` may override.

    Returns:
        The options. The one of torch's launcher, ``--local_rank``, goes to the
        environment.
    """
    add = parser.add_argument
    add('--work-dir', help='folder for logs and checkpoints')
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help=f'override settings of the config, e.g. {example}',
    )
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    args = vars(parser.parse_args())
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))
    return args


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
    """Standard output for tables: as wide as the terminal, or wide enough for any."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    return console
