"""Finding the file or folder of each annotated video."""

from __future__ import annotations

import os

VIDEO_EXTENSIONS = (
    '.mp4',
    '.avi',
    '.mkv',
    '.webm',
    '.mov',
    '.m4v',
    '.mpg',
    '.mpeg',
    '.wmv',
    '.flv',
    '.ts',
    '.3gp',
)
FEATURE_EXTENSIONS = ('.npy', '.npz', '.pt', '.pth')
_EXTENSIONS = {
    'video': VIDEO_EXTENSIONS,
    'frames': ('',),
    'npy': ('.npy',),
    'features': FEATURE_EXTENSIONS,
}
_TEMPLATES = {
    'video': '{video_id}.mp4',
    'frames': '{video_id}',
    'npy': '{video_id}.npy',
    'features': '{video_id}.npy',
}
SOURCE_TYPES = tuple(_TEMPLATES)


class SourceFinder:
    """Finds the source of a video by its annotated file name, template or id.

    In this order: the annotation's "file", the file template, and any file of a
    known type whose name without extension is that of the template. A "file" that
    names a video does not say where its extracted frames or array are.

    Args:
        folder (str): Folder of the sources.
        source_type (str): 'video', 'frames' (a folder per video), 'npy' or
            'features'.
        file_tmpl (str, optional): Template with ``{video_id}``. By default the id and
            the usual extension.

    Raises:
        ValueError: If an argument makes no sense.
    """

    def __init__(
        self, folder: str, source_type: str, file_tmpl: str | None = None
    ) -> None:
        if source_type not in SOURCE_TYPES:
            raise ValueError(
                f'source_type must be one of {SOURCE_TYPES}, got {source_type!r}'
            )
        self.folder = folder
        self.source_type = source_type
        self.file_tmpl = file_tmpl or _TEMPLATES[source_type]
        if '{video_id}' not in self.file_tmpl:
            raise ValueError(
                f'file_tmpl must contain {{video_id}}, got {self.file_tmpl!r}'
            )
        self._names_by_stem: dict[str, dict[str, list[str]]] = {}

    def expected(self, video_id: str, file: str | None = None) -> str:
        """Returns where the source should be.

        Args:
            video_id (str): Id of the video.
            file (str, optional): File name from the annotation.

        Returns:
            str: Path, whether it exists or not.
        """
        name = self.file_tmpl.replace('{video_id}', video_id)
        if file is not None and self._is_source(file):
            name = file
        return os.path.join(self.folder, name)

    def _is_source(self, file: str) -> bool:
        """Tells whether a file name may be one of this source type."""
        extension = os.path.splitext(file)[1].lower()
        if self.source_type in ('npy', 'features'):
            return extension in _EXTENSIONS[self.source_type]
        return self.source_type == 'video' or extension not in VIDEO_EXTENSIONS

    def find(self, video_id: str, file: str | None = None) -> str | None:
        """Returns the path of the source, None if there is none.

        Args:
            video_id (str): Id of the video.
            file (str, optional): File name from the annotation.

        Returns:
            str, optional: Existing path.
        """
        path = self.expected(video_id, file)
        exists = os.path.isdir if self.source_type == 'frames' else os.path.isfile
        if exists(path):
            return path
        named = file is not None and self._is_source(file)
        if named or self.source_type == 'frames':
            return None
        folder, name = os.path.split(path)
        matches = self._index(folder).get(os.path.splitext(name)[0])
        return os.path.join(folder, matches[0]) if matches else None

    def _index(self, folder: str) -> dict[str, list[str]]:
        """Lists a folder once: file names by their stem, the commonest type first."""
        if folder not in self._names_by_stem:
            by_stem: dict[str, list[str]] = {}
            extensions = _EXTENSIONS[self.source_type]
            names = os.listdir(folder) if os.path.isdir(folder) else []
            for name in sorted(names):
                stem, extension = os.path.splitext(name)
                if extension.lower() in extensions:
                    by_stem.setdefault(stem, []).append(name)
            for found in by_stem.values():
                found.sort(
                    key=lambda name: extensions.index(os.path.splitext(name)[1].lower())
                )
            self._names_by_stem[folder] = by_stem
        return self._names_by_stem[folder]
