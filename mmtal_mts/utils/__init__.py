"""Small helpers that know nothing of models or data."""

from __future__ import annotations

from mmtal_mts.utils.afsd_checkpoint import convert_afsd_state_dict
from mmtal_mts.utils.cfg_options import CfgOptionsAction
from mmtal_mts.utils.checkpoint import best_checkpoint, latest_checkpoint
from mmtal_mts.utils.console import result_console
from mmtal_mts.utils.errors import UserError, run_tool
from mmtal_mts.utils.io import read_text

__all__ = [
    'CfgOptionsAction',
    'UserError',
    'best_checkpoint',
    'convert_afsd_state_dict',
    'latest_checkpoint',
    'read_text',
    'result_console',
    'run_tool',
]
