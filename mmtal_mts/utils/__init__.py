"""Small helpers that know nothing of models or data."""

from .checkpoint import latest_checkpoint
from .errors import InvalidLossError, UserError, run_tool
from .io import read_json, read_text, result_console, write_json

__all__ = [
    'InvalidLossError',
    'UserError',
    'latest_checkpoint',
    'read_json',
    'read_text',
    'result_console',
    'run_tool',
    'write_json',
]
