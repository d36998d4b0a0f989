"""The record of how the files of a folder were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import write_json

from ..extraction_record import RECORD_FILE, read_raw_record

_REMEDY = 'Choose another output folder, or remove this one.'


class FolderRecord:
    """Keeps files of different settings out of one folder.

    Args:
        folder (Path): Folder of the files.
        settings (Mapping): Everything that the files depend on; JSON.
        name (str): Name of the file with the record.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], name: str = RECORD_FILE
    ) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.path = folder / name

    def check(self) -> bool:
        """Makes sure that the folder holds only what these settings make.

        Returns:
            bool: Whether the folder has been claimed for them.

        Raises:
            UserError: If it holds something else.
        """
        found = read_raw_record(self.folder, self.path.name)
        if found is None:
            if self.folder.is_dir() and any(
                not entry.name.startswith('.') for entry in self.folder.iterdir()
            ):
                raise UserError(
                    f'{self.folder} holds files, but no {self.path.name} that says how '
                    f'they were made. {_REMEDY}'
                )
            return False
        wanted = json.loads(json.dumps(self.settings))  # tuples become lists
        if found != wanted:
            differences = ', '.join(
                f'{key} was {found.get(key)!r} and is now {wanted.get(key)!r}'
                for key in sorted(set(found) | set(wanted))
                if found.get(key) != wanted.get(key)
            )
            raise UserError(
                f'{self.folder} was extracted with other settings ({differences}). '
                f'{_REMEDY}'
            )
        return True

    def claim(self) -> None:
        """Records the settings in a folder that :meth:`check` accepts."""
        if not self.check():
            write_json(self.path, self.settings)
