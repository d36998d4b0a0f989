"""Writes the tables of models in README.md, docs/model_zoo.md and zoo/README.md.

What they say comes from configs/*/metafile.yml.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.model_zoo.tables import tables, with_table
    from mmtal_mts.utils import run_tool
    from mmtal_mts.utils.io import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--root',
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help='root of the repository (default: that of this tool)',
    )
    parser.add_argument(
        '--check', action='store_true', help='write nothing, fail if a table is old'
    )
    return parser.parse_args()


def main() -> None:
    """Writes or checks the tables."""
    args = parse_args()
    old = False
    for path, table in tables(args.root).items():
        content = with_table(path, table)
        if content == path.read_text(encoding='utf-8'):
            continue
        old = True
        print(f'{path} is {"old" if args.check else "written"}')
        if not args.check:
            with atomic_write(path) as temporary:
                temporary.write_text(content, encoding='utf-8')
    if args.check and old:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
