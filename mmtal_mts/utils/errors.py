"""Turns bad input into one readable message for a person at a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence

# MMEngine's own complaints about a config, of types that bugs have as well.
_CONFIG_COMPLAINTS = (' registry. ', 'class `')
# Of torch.distributed.
_LOST_PROCESS = ('DistBackendError', 'DistNetworkError')
_WORKER_ERROR = re.compile(r'^[\w.]+(?:Error|Exception|Interrupt): ', re.MULTILINE)


class UserError(ValueError):
    """Bad input. The message names the file, the field, the value and the remedy."""


class InvalidLossError(RuntimeError):
    """Training met a loss or a gradient that is not a finite number.

    Args:
        what: The value that is not finite, e.g. ``'loss_cls is nan'``.
        clips: The clips of the batch, of all processes.
        epoch: Epoch, from 1.
        iteration: Iteration, from 1.
        checkpoint: Path of the last good checkpoint, or None.
    """

    def __init__(
        self,
        what: str,
        clips: Sequence[str],
        epoch: int,
        iteration: int,
        checkpoint: str | None,
    ) -> None:
        self.what, self.clips, self.checkpoint = what, list(clips), checkpoint
        rescue = 'No checkpoint has been saved yet'
        if checkpoint is not None:
            rescue = (
                f'The last good checkpoint is {checkpoint}; '
                f'go on from it with --resume {checkpoint}'
            )
        super().__init__(
            f'Training stopped in epoch {epoch}, iteration {iteration}: {what}. '
            f'Clips of the batch: {", ".join(self.clips)}. '
            'The weights were not updated with it. '
            f'{rescue}. Look at the frames and annotations of these clips; if they '
            'are fine, lower the learning rate or set optim_wrapper.clip_grad.'
        )


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
        # Gloo has no class of its own.
        lost = type(error).__name__ in _LOST_PROCESS or (
            isinstance(error, RuntimeError) and '/gloo/' in str(error)
        )
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


def is_input_error(error: Exception) -> bool:
    """Says whether an exception is about what the user gave, and no bug."""
    if isinstance(error, (ValueError, OSError, ImportError, InvalidLossError)):
        return True
    return isinstance(error, (KeyError, TypeError, AssertionError)) and any(
        complaint in str(error) for complaint in _CONFIG_COMPLAINTS
    )


def error_message(error: Exception) -> str:
    """The message of an exception, without the traceback that a data worker adds.

    Where it is about something that only the full flavour has, the remedy is added.
    """
    message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if 'Original Traceback' in message:
        starts = list(_WORKER_ERROR.finditer(message))
        if starts:
            message = message[starts[-1].end() :]
    message = message.strip() or type(error).__name__
    if re.search(r'\bmmdet\b|\bmmcv\.(?:ops|_ext)\b', message):
        from ..compat import full_flavour_problem

        message = '\n'.join(filter(None, [message, full_flavour_problem()]))
    return message
