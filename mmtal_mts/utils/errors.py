"""Turns bad input into one readable message for a person at a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

# MMEngine's own complaints about a config, of types that bugs have as well.
_CONFIG_COMPLAINT = re.compile(r' registry\. |class `')
_WORKER_ERROR = re.compile(r'^[\w.]+(?:Error|Exception|Interrupt): ', re.MULTILINE)
_LOST_PROCESS = (
    'another process of the job was lost ({}). The one that failed first says why; '
    'when that is mended, go on with --resume'
)


class UserError(ValueError):
    """Bad input. The message names the file, the field, the value and the remedy."""


class InvalidLossError(RuntimeError):
    """Training met a loss or a gradient that is not a finite number."""


def run_tool(main: Callable[[], None]) -> int:
    """Runs a command line tool; bad input ends it with a message, not a traceback.

    Bugs keep their traceback, and with ``MMTAL_DEBUG=1`` in the environment everything.

    Returns:
        The exit code: 0, 2 for bad input, 3 when another process of the job was lost,
        130 when interrupted, 141 when the reader of the output closed it.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # As with "| head". Python writes what is still buffered when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        # Gloo has no class of its own.
        lost = type(error).__name__ in ('DistBackendError', 'DistNetworkError') or (
            isinstance(error, RuntimeError) and '/gloo/' in str(error)
        )
        if os.environ.get('MMTAL_DEBUG') == '1' or not (lost or is_input_error(error)):
            raise
        message = error_message(error)
        if lost:
            message = _LOST_PROCESS.format(message.splitlines()[0])
        rank = os.environ.get('RANK')
        place = '' if rank is None else f' (process {rank})'
        hint = '(MMTAL_DEBUG=1 shows where it came from)'
        print(f'\nerror{place}: {message}\n{hint}', file=sys.stderr, flush=True)
        return 3 if lost else 2
    return 0


def is_input_error(error: Exception) -> bool:
    """Whether an exception is about what the user gave, and no bug."""
    return isinstance(error, (ValueError, OSError, ImportError, InvalidLossError)) or (
        isinstance(error, (KeyError, TypeError, AssertionError))
        and _CONFIG_COMPLAINT.search(str(error)) is not None
    )


def error_message(error: Exception) -> str:
    """The message of an exception, without the traceback that a data worker adds.

    It names the remedy where only the full flavour has what is missing.
    """
    message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if 'Original Traceback' in message:
        message = _WORKER_ERROR.split(message)[-1]
    message = message.strip() or type(error).__name__
    if re.search(r'\bmmdet\b|\bmmcv\.(?:ops|_ext)\b', message):
        from ..compat import full_flavour_problem

        message = '\n'.join(filter(None, [message, full_flavour_problem()]))
    return message
