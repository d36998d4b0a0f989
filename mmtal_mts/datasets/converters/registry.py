"""The registry of converters: a name, a test for files, and a function that reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...utils.errors import UserError
from .collector import Collector, ConvertOptions
from .source_file import SourceFile

CONVERTERS: dict[str, Converter] = {}
"""All converters by the name of their format."""

Read = Callable[[SourceFile, Collector], None]


@dataclass(frozen=True)
class Converter:
    """Reads the files of one format; as a decorator it registers ``read``.

    Attributes:
        name: What the format is called on the command line.
        summary: One line for a list of formats.
        detect: Whether a file is of this format, so that ``read`` can be expected to
            work.
        label_fields: Choices for ``label_field``, the first is the default; empty if
            the format has no choice.
        uses_fps: Whether it needs a frame rate from a person.
        uses_select: Whether there is something to select.
        read: Hands everything in a file to the collector. It raises a UserError if the
            file is not of this format, or an option is missing.
    """

    name: str
    summary: str
    detect: Callable[[SourceFile], bool]
    label_fields: tuple[str, ...] = ()
    uses_fps: bool = False
    uses_select: bool = False
    read: Read | None = None

    def __call__(self, read: Read) -> Read:
        """Registers the function that reads files of this format."""
        CONVERTERS[self.name] = replace(self, read=read)
        return read

    def accepts(self, source: SourceFile) -> bool:
        """Whether a file is of this format; one that cannot be parsed is not."""
        try:
            return self.detect(source)
        except UserError:
            return False

    def check_options(self, options: ConvertOptions) -> None:
        """Refuses options that would have no effect.

        Raises:
            UserError: One is given that this format does not know.
        """
        unknown = {
            '--fps': options.fps is not None and not self.uses_fps,
            '--select': bool(options.select) and not self.uses_select,
            '--label-field': options.label_field is not None and not self.label_fields,
        }
        if any(unknown.values()):
            names = ', '.join(
                name for name, is_unknown in unknown.items() if is_unknown
            )
            raise UserError(f'format {self.name} does not know {names}; leave it out')
        if options.label_field not in (None, *self.label_fields):
            raise UserError(
                f'--label-field of format {self.name} is one of '
                f'{", ".join(self.label_fields)}, got {options.label_field!r}'
            )
