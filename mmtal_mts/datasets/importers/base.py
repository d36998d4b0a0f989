"""What every importer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mmtal_mts.utils.errors import UserError

from .class_names import ClassNames
from .collector import AnnotationCollector
from .source_file import SourceFile
from .video_facts import VideoFacts


@dataclass(frozen=True)
class ImportOptions:
    """What a person may say besides the files.

    Attributes:
        subset (str, optional): Subset of all videos.
        durations (Mapping[str, VideoFacts]): Facts by video id; they win over the
            annotation file's own.
        keep_ambiguous (bool): Keep THUMOS14's segments labelled 'Ambiguous'.
        fps (float, optional): Frame rate of videos that are annotated in frames.
        classes (ClassNames, optional): Class list.
        label_field (str, optional): Which of several things an annotation says is
            the class.
        select (tuple[str, ...]): Names of the tiers, observations or attributes to
            take.
    """

    subset: str | None = None
    durations: Mapping[str, VideoFacts] = field(default_factory=dict)
    keep_ambiguous: bool = False
    fps: float | None = None
    classes: ClassNames | None = None
    label_field: str | None = None
    select: tuple[str, ...] = ()


class Importer:
    """Reads the files of one format.

    Attributes:
        name (str): What the format is called on the command line.
        summary (str): One line for a list of formats.
        label_fields (tuple[str, ...]): Choices for ``label_field``, the first is the
            default; empty if the format has no choice.
        uses_fps (bool): Whether it needs a frame rate from a person.
        uses_select (bool): Whether there is something to select.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    label_fields: ClassVar[tuple[str, ...]] = ()
    uses_fps: ClassVar[bool] = False
    uses_select: ClassVar[bool] = False

    def accepts(self, source: SourceFile) -> bool:
        """Tells whether a file is of this format.

        Args:
            source (SourceFile): Any file.

        Returns:
            bool: True only if :meth:`read` can be expected to work.
        """
        raise NotImplementedError

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """Hands everything in a file to the collector.

        Args:
            source (SourceFile): File of this format.
            collector (AnnotationCollector): Takes or counts each annotation.
            options (ImportOptions): What a person said.

        Raises:
            UserError: If the file is not of this format, or an option is missing.
        """
        raise NotImplementedError

    def check_options(self, options: ImportOptions) -> None:
        """Refuses options that would have no effect.

        Args:
            options (ImportOptions): What a person said.

        Raises:
            UserError: If one is given that this format does not know.
        """
        unused = []
        if options.fps is not None and not self.uses_fps:
            unused.append('--fps')
        if options.select and not self.uses_select:
            unused.append('--select')
        if options.label_field is not None and not self.label_fields:
            unused.append('--label-field')
        if unused:
            raise UserError(
                f'format {self.name} does not know {", ".join(unused)}; leave it out'
            )
        if options.label_field not in (None, *self.label_fields):
            raise UserError(
                f'--label-field of format {self.name} is one of '
                f'{", ".join(self.label_fields)}, got {options.label_field!r}'
            )

    def label_field(self, options: ImportOptions) -> str:
        """Returns the chosen label field, or the default one."""
        return options.label_field or self.label_fields[0]
