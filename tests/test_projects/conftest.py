"""The scripts of projects/ import the modules beside them."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECTS = Path(__file__).resolve().parents[2] / 'projects'
sys.path[:0] = [str(PROJECTS / name) for name in ('ablation', 'timelines')]
