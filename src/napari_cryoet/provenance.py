"""Provenance: where data is from, for citations, exports and sharing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import asdict, fields, replace

from napari_cryoet._version import __version__
from napari_cryoet.locations import Location
from napari_cryoet.records import PORTAL_TERMS


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a layer, picks or a mask are from; unknown fields are empty or None.

    Attributes
    ----------
    kind
        What it describes, such as "tomogram" or "annotation".
    source
        The portal, demo or pack of the records, as `open_portal` takes it; empty for other files.
    path
        The path of the file in the portal's storage, the same for the portal and its packs.
    source_url
        The address or path that was opened.
    voxel_spacing_angstrom
        One number, or three for z, y, x.
    fit
        How an annotation fits the tomogram that it is shown on.
    edits
        Changes since the data was published, oldest first.
    records
        The portal's records by name.
    more
        What else its file or program states, such as the names of copick.
    """

    kind: str = ""
    source: str = ""
    path: str = ""
    source_url: str = ""
    downloaded_from: str = ""
    portal_url: str = ""
    licence: str = ""
    licence_url: str = ""
    authors: tuple[str, ...] = ()
    dois: tuple[str, ...] = ()
    database_entries: tuple[str, ...] = ()
    deposition_id: int | None = None
    deposition_title: str = ""
    dataset_id: int | None = None
    dataset_title: str = ""
    run_id: int | None = None
    run_name: str = ""
    tomogram_id: int | None = None
    processing: str = ""
    tilt_series_id: int | None = None
    alignment_id: int | None = None
    annotation_id: int | None = None
    annotation_file_id: int | None = None
    shape_type: str = ""
    object_id: str = ""
    object_name: str = ""
    object_state: str = ""
    method_type: str = ""
    annotation_method: str = ""
    annotation_software: str = ""
    is_ground_truth: bool | None = None
    is_curator_recommended: bool | None = None
    confidence_precision_percent: float | None = None
    confidence_recall_percent: float | None = None
    ground_truth_used: str = ""
    voxel_spacing_angstrom: float | tuple[float, ...] | None = None
    pixel_spacing_angstrom: float | None = None
    origin_zyx_angstrom: tuple[float, float, float] | None = None
    tilt_angles_degree: tuple[float, ...] | None = None
    fit: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    shown_name: str = ""
    software: str = ""
    records: dict[str, Any] = {}
    more: dict[str, Any] = {}

    @classmethod
    def of(cls, data: object) -> Provenance:
        """Provenance from the plain data of `to_dict`.

        Unknown keys are kept in `more`, and invalid values are ignored.
        """
        if isinstance(data, Provenance):
            return data
        known = {}
        more = {}
        for key, value in data.items() if isinstance(data, Mapping) else ():
            name = str(key)
            if name not in _TYPES:
                more[name] = value
            elif value is not None:
                with suppress(msgspec.ValidationError):
                    known[name] = msgspec.convert(value, _TYPES[name], strict=True)
        return cls(**known, more=more)

    @classmethod
    def of_file(
        cls, kind: str, location: Location, spacing_angstrom: float | tuple[float, ...] | None
    ) -> Provenance:
        """The provenance of a file without portal records, hence without licence or authors."""
        return cls(
            kind=kind,
            source_url=str(location),
            voxel_spacing_angstrom=spacing_angstrom,
            software=f"napari-cryoet {__version__}",
        )

    def to_dict(self) -> dict[str, Any]:
        """The known fields as JSON-compatible data."""
        known = self._known()
        more = known.pop("more", {})
        data: dict[str, Any] = plain_data(known | more)
        return data

    def updated(self, other: Provenance) -> Provenance:
        """A copy with the known fields of another one."""
        known = other._known()
        return replace(self, **known | {"more": self.more | other.more})

    def with_warnings(self, *warnings: str) -> Provenance:
        """A copy with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))

    def of_copy(self) -> Provenance:
        """A copy without what describes only its own file, for an export of it."""
        return replace(
            self, warnings=(), voxel_spacing_angstrom=None, origin_zyx_angstrom=None, software=""
        )

    @property
    def citation(self) -> str:
        """The citation and URL of the data, in a few lines of plain text; empty for other files."""
        title = self.dataset_title or self.deposition_title
        where = "CryoET Data Portal, " if self.portal_url.startswith(PORTAL_TERMS.site) else ""
        dataset = f"{where}DS-{self.dataset_id}" if self.dataset_id else ""
        lines = (
            ". ".join(part for part in (", ".join(self.authors), title, dataset) if part),
            "  ".join(f"https://doi.org/{doi}" for doi in self.dois),
            self.portal_url,
            f"Licence: {self.licence}" if self.licence else "",
        )
        return "\n".join(line for line in lines if line)

    def _known(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in _UNKNOWN}


_UNKNOWN: Final[tuple[Any, ...]] = (None, "", (), {})
_TYPES: Final = {each.name: each.type for each in fields(Provenance) if each.name != "more"}


def plain_data(value: Any) -> Any:
    """Convert a record, or any value in one, to dicts, lists, strings and numbers.

    Dates become ISO strings, NaN and infinity become None, and NumPy numbers become Python numbers.
    Anything else becomes a string.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, msgspec.Struct):
        value = asdict(value)
    match value:
        case date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(key): plain_data(item) for key, item in value.items()}
        case list() | tuple():
            return [plain_data(item) for item in value]
        case None | str() | int() | float():
            return value
    return str(value)
