"""Small helpers that know nothing of models or data."""

from .checkpoint import latest_checkpoint
from .cli import CfgOptionsAction, parse_runner_args, result_console
from .errors import InvalidLossError, UserError, run_tool
from .io import read_json, read_text, write_json

__all__ = [
    'CfgOptionsAction',
    'InvalidLossError',
    'UserError',
    'latest_checkpoint',
    'parse_runner_args',
    'read_json',
    'read_text',
    'result_console',
    'run_tool',
    'write_json',
]
