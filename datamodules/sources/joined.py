"""Several partially labeled sets as one, their classes matched by name.

The case this project is made for: one set examined the liver, another the kidneys, a third both and the spleen. What a
set never looked for is unknown in its cases, neither present nor absent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

from datamodules.sources.base import Source, SourceCase, VolumeSource
from datamodules.sources.class_merges import Merge, Translation, joined_table
from datamodules.sources.volume import VolumeReader
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

logger = logging.getLogger(__name__)


@final
class JoinedSource(VolumeSource):
    """Reads several sources as one; with a single one it selects, renames and merges classes.

    Names, groups and volumes of the cases get the name of their set in front, so that two patients of one number stay
    apart. The truth that a phantom keeps aside is not joined.

    Args:
        sources: The sets by name.
        classes: The classes to keep, in this order; by default all of all sets.
        rename: The name here of a class that a set calls otherwise, as ``{Leber: liver}``.
        merge: A class here that is the union of others, as ``{kidney: [kidney_left, kidney_right]}``; a set examined
            it where it examined the class itself, or all of its parts.
        reader: Reads the volumes at prediction: the one that the sets share, if it is given.
        name: Name of the store.

    Raises:
        InputError: If there is no set, a class is named that none has, or the sets lie in different frames or are
            read in different ways.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        classes: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        merge: Merge | None = None,
        reader: VolumeReader | None = None,
        name: str = "joined",
    ) -> None:
        if not sources:
            raise InputError("data.source.sources is empty: name at least one set (docs/data.md)")
        self.sources, self.reader, self.name = dict(sources), reader, name
        self._check_scales()
        self.left_right_axis = self._common_axis()
        self._check_readers()
        tables = [source.classes for source in self.sources.values()]
        self._classes = joined_table(tables, rename or {}, merge or {}, classes)
        self.translations = {
            key: Translation.between(source.classes, self._classes, rename or {}, merge or {})
            for key, source in self.sources.items()
        }
        self.places: list[tuple[str, int | None]] = [
            (key, number)
            for key, source in self.sources.items()
            for number in (range(len(source.volumes)) if isinstance(source, VolumeSource) else (None,))
        ]

    @property
    def classes(self) -> ClassTable:
        """The classes of all sets."""
        return self._classes

    @property
    def volumes(self) -> Sequence[str]:
        """The volumes of the sets; a set of slices counts as one."""
        return [key if number is None else f"{key}/{self._child(key).volumes[number]}" for key, number in self.places]

    def options(self) -> str:
        """Return the class table and what each set's classes become."""
        return json.dumps([self.name, self.classes.to_json(), repr(self.translations)])

    def volume_fingerprint(self, number: int) -> str:
        """Return the fingerprint of a volume's own source."""
        key, inner = self.places[number]
        source = self.sources[key]
        if inner is None or not isinstance(source, VolumeSource):
            return json.dumps([key, source.fingerprint()])
        return json.dumps([key, source.options(), source.volume_fingerprint(inner)])

    def read(self, number: int) -> Iterator[SourceCase]:
        """Yield the slices of one volume in the joined classes."""
        key, inner = self.places[number]
        source = self.sources[key]
        translation = self.translations[key]
        for case in source.cases() if inner is None else self._child(key).read(inner):
            examined = translation.examined(case.examined)
            row = case.row
            yield replace(
                case,
                row=replace(
                    row,
                    name=f"{key}/{row.name}",
                    group=f"{key}/{row.group}",
                    volume=f"{key}/{row.volume}",
                    list_rank=-1,
                ),
                label=translation.label(case.label, examined),
                examined=examined,
                truth=None,
                spacing_mm=case.spacing_mm or source.spacing_mm,
            )

    def _child(self, key: str) -> VolumeSource:
        source = self.sources[key]
        assert isinstance(source, VolumeSource)
        return source

    def _check_scales(self) -> None:
        """Take over how greys are stored and how many channels there are, which must be one for all sets."""
        scales = {key: (one.image_dtype, one.slope, one.intercept) for key, one in self.sources.items()}
        first = next(iter(scales))
        for key, scale in scales.items():
            if scale != scales[first]:
                raise InputError(
                    f"data.source.sources: {first} and {key} store greys differently; join sets of one kind"
                )
            if self.sources[key].channels != self.sources[first].channels:
                said = ", ".join(f"{name} {one.channels}" for name, one in self.sources.items())
                raise InputError(
                    f"data.source.sources: the sets differ in channels ({said}); give their readers the same windows"
                )
        self.image_dtype, self.slope, self.intercept = scales[first]
        self.channels = self.sources[first].channels

    def _readers(self) -> dict[str, VolumeReader]:
        """Return what reads the volumes of each set that has such."""
        readers = {key: getattr(one, "reader", None) for key, one in self.sources.items()}
        return {key: reader for key, reader in readers.items() if isinstance(reader, VolumeReader)}

    def _check_readers(self) -> None:
        """Refuse a set that is read otherwise than prediction will read, as no network was trained on what it sees."""
        for key, reader in self._readers().items():
            if self.reader is not None and reader.options != self.reader.options:
                raise InputError(
                    f"data.source.sources.{key}: its volumes are read with {said(reader)}, at prediction with "
                    f"{said(self.reader)}; write `reader: ${{data.source.reader}}` into the set"
                )

    def _common_axis(self) -> str:
        """Return the axis along which left and right lie, and refuse sets that lie differently."""
        axes = {key: one.left_right_axis for key, one in self.sources.items()}
        lies = {key: reader.orientation for key, reader in self._readers().items()}
        for told, what in ((lies, "orientation"), ({k: v for k, v in axes.items() if v != "none"}, "left_right_axis")):
            if len(set(told.values())) > 1:
                said = ", ".join(f"{key} {value}" for key, value in told.items())
                raise InputError(f"data.source.sources: the sets differ in {what} ({said}); bring them to one frame")
        if len(set(axes.values())) > 1:
            logger.warning("%s: left_right_axis is known of some sets only, so mirrors stay off", self.name)
            return "none"
        return next(iter(axes.values()))


def said(reader: VolumeReader) -> str:
    """Write what distinguishes a reader as one would type it."""
    orientation, window, percentiles = reader.options
    return f"orientation={orientation} " + (f"percentiles={percentiles}" if window is None else f"window={window}")
