"""Turns bad input into one readable message for a person at a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

# What bad input raises, here and in the libraries below.
_INPUT_ERRORS = (ValueError, OSError, ImportError)
# MMEngine's own complaints about a config, of types that bugs have as well.
_CONFIG_COMPLAINTS = (' registry. ', 'class `')
# Of torch.distributed.
_LOST_PROCESS = ('DistBackendError', 'DistNetworkError')
_WORKER_ERROR = re.compile(r'^[\w.]+(?:Error|Exception|Interrupt): ', re.MULTILINE)


class UserError(ValueError):
    """Bad input. The message names the file, the field, the value and the remedy."""


def run_tool(main: Callable[[], None]) -> int:
    """Runs a command line tool; bad input ends it with a message, not a traceback.

    Bugs keep their traceback. With ``MMTAL_DEBUG=1`` in the environment everything
    does.

    Args:
        main: The tool.

    Returns:
        The exit code: 0, 2 for bad input, 3 when another process of the job was lost,
        130 when interrupted, 141 when whoever reads the output closed it.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output went away, as "| head" does; nobody is listening.
        # What is still buffered must go somewhere when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        lost = is_lost_process(error)
        if os.environ.get('MMTAL_DEBUG') == '1' or not (lost or is_input_error(error)):
            raise
        rank = os.environ.get('RANK')
        place = '' if rank is None else f' (process {rank})'
        message = error_message(error)
        if lost:
            message = (
                f'another process of the job was lost ({message.splitlines()[0]}). '
                'The one that failed first says why; when that is mended, go on with '
                '--resume'
            )
        print(
            f'\nerror{place}: {message}\n(MMTAL_DEBUG=1 shows where it came from)',
            file=sys.stderr,
            flush=True,
        )
        return 3 if lost else 2
    return 0


def is_lost_process(error: Exception) -> bool:
    """Says whether an exception is that other processes do not answer any more.

    Args:
        error: What was raised.

    Returns:
        True for what the communication between processes raises.
    """
    # Gloo has no class of its own, and the others are not in every torch.
    return type(error).__name__ in _LOST_PROCESS or (
        isinstance(error, RuntimeError) and '/gloo/' in str(error)
    )


def is_input_error(error: Exception) -> bool:
    """Says whether an exception is about what the user gave us.

    Args:
        error: What was raised.

    Returns:
        True for bad input, False for what looks like a bug.
    """
    # Only here, so that the message of a broken stack does not need mmengine.
    from mmtal_mts.engine.hooks import InvalidLossError

    if isinstance(error, (*_INPUT_ERRORS, InvalidLossError)):
        return True
    return isinstance(error, (KeyError, TypeError, AssertionError)) and any(
        complaint in str(error) for complaint in _CONFIG_COMPLAINTS
    )


def error_message(error: Exception) -> str:
    """The message of an exception, without the traceback a data worker adds.

    Args:
        error: What was raised.

    Returns:
        The message, without a traceback.
    """
    message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if 'Original Traceback' in message:
        starts = list(_WORKER_ERROR.finditer(message))
        if starts:
            message = message[starts[-1].end() :]
    message = message.strip() or type(error).__name__
    return f'{message}{_flavour_hint(message)}'


def _flavour_hint(message: str) -> str:
    """Where a message is about something that only the full flavour has, says so."""
    if not re.search(r'\bmmdet\b|\bmmcv\.(?:ops|_ext)\b', message):
        return ''
    # Only here, for the same reason as above.
    from mmtal_mts.compat import full_flavour_problem

    problem = full_flavour_problem()
    return '' if problem is None else f'\n{problem}'
