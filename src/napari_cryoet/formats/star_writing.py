"""RELION STAR files, written for version 3.1, 4 or 5; conventions and labels are those of `napari_cryoet.formats.star`.

What napari-cryoet knows of where picks come from stands in a comment at the top, as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.column_types import typed
from napari_cryoet.formats.eulers import angles_of
from napari_cryoet.formats.exchange import MAX_FILE_BYTES, listed, orientations_of, rotation_losses
from napari_cryoet.formats.star import PROJECT
from napari_cryoet.formats.star_images import Images, images_of, untold_of_images
from napari_cryoet.formats.star_labels import (
    ANGLES,
    CENTRED,
    GROUP,
    IMAGE,
    IMAGE_PIXELS,
    INSTANCE_ID,
    IS_ORIENTED,
    MAGNIFIED,
    OWN,
    PICK_ID,
    PIXEL_SIZES,
    PIXELS,
    PRIORS,
    SCORES,
    SUBTOMOGRAM_ANGLES,
    TOMOGRAM_NAMES,
    Dialect,
)
from napari_cryoet.formats.text_columns import rows_as_text
from napari_cryoet.picks import Picks
from napari_cryoet.picks.history import are_moved

if TYPE_CHECKING:
    import pyarrow as pa

_NOTES: Final = "# napari-cryoet "
_NOTES_LINES: Final = 50
_VERSIONS: Final = {"relion3": 30001, "relion4": 30001, "relion5": 50001}
_NO_NAME: Final = "tomogram"
#: What is one word to all readers; RELION lists in one the images in which a particle is seen: [1,1,0].
_SAFE_TEXT: Final = re.compile(r"[A-Za-z0-9._/@:+\-\[\](),=]+")


def read_notes(path: Path) -> dict[str, Any]:
    """What an export of ours says in its comment; empty where there is none."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for _ in range(_NOTES_LINES):
            line = file.readline(MAX_FILE_BYTES)
            if line.startswith(_NOTES):
                return _parsed_notes(line.removeprefix(_NOTES))
            if not line or line.startswith("data_"):
                break
    return {}


def missing_for(picks: Picks, dialect: Dialect) -> tuple[Literal["spacing_angstrom", "shape_zyx"], ...]:
    """What has to be known of picks, and isn't, before this version of RELION can be written for."""
    wanted: tuple[Literal["spacing_angstrom", "shape_zyx"], ...] = ("spacing_angstrom", "shape_zyx")
    needed = {"relion3": 0, "relion4": 1, "relion5": 2}[dialect]
    return tuple(name for name in wanted[:needed] if getattr(picks, name) is None)


def losses(picks: Picks, dialect: Dialect) -> list[str]:
    """What such a file can't hold, in words; 3.1 has no images of particles that are turned."""
    said = rotation_losses(picks)
    name, written_name = _given_name(picks), _tomogram_name(picks)
    if not name:
        said.append(f"Nobody said what the tomogram is called; it is written as {_NO_NAME!r}.")
    elif name != written_name:
        said.append(
            f"{name!r} is no word that such a file can have; the tomogram is called {written_name or _NO_NAME!r}."
        )
    if _groups_of_source(picks) is None:
        if _source_optics(picks):
            said.append("Some picks are of none of the source's optics groups; all are written as one new group.")
        elif GROUP in picks.features:
            said.append(f"Nothing says what their optics groups ({GROUP}) are; all are written as one new group.")
    images = picks.features.get(IMAGE)
    n_without = 0 if images is None else int(np.sum(images == ""))
    if 0 < n_without < len(picks):
        said.append(
            f"{n_without:,} of the picks have no image ({IMAGE}), as those that were added: RELION has to extract the "
            "particles anew."
        )
    if n_without < len(picks) and images is not None and are_moved(picks.edits):
        said.append(
            f"Picks that were moved keep the image ({IMAGE}) that was cut out around their old place: RELION has to "
            "extract these particles anew."
        )
    untold = untold_of_images(picks, dialect)
    if untold:
        said.append(
            f"RELION isn't told where, and how turned, the particles' images were cut out ({listed(untold)}): it has "
            "to extract the particles anew."
        )
    return said


def write_star(picks: Picks, path: Path, dialect: Dialect, notes: Mapping[str, Any]) -> None:
    """Write a file of ``optics`` and ``particles``, and what else the source's project had, with all digits.

    Picks that come from a RELION project keep its optics groups, and 3.1 and 4 count in the pixels of these.

    Parameters
    ----------
    picks
        What `missing_for` names must be there.
    notes
        Plain data, for the comment at the top.
    """
    import pandas as pd
    import starfile

    optics, groups = _optics(picks, dialect)
    images = images_of(picks, dialect)
    further = {name: column for name, column in picks.features.items() if name not in (GROUP, *images.columns)}
    labels = _labels(further)
    encoded = [label for label, name in labels.items() if _needs_encoding(picks.features[name])]
    pixels = _pixels_of(optics, groups, dialect)
    columns = _position_columns(picks, dialect, pixels, images) | _orientation_columns(picks, images)
    columns |= images.columns | {GROUP: groups}
    if picks.scores is not None:
        columns[SCORES[0]] = picks.scores
    columns[PICK_ID] = picks.ids
    if picks.instance_ids is not None:
        columns[INSTANCE_ID] = picks.instance_ids
    for label, name in labels.items():
        columns[label] = _as_text(picks.features[name], encode=label in encoded)
    general = _source_general(picks)
    blocks: dict[str, Any] = {"general": general} if general else {}
    blocks |= {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(columns).iloc[:0]}
    text = starfile.to_string(blocks, float_format=None, na_rep="nan").rstrip("\n")
    text = text.replace("\ndata_", f"\n# version {_VERSIONS[dialect]}\n\ndata_")
    renamed = {label: name for label, name in labels.items() if label != name}
    all_notes = dict(notes) | {"star_names": renamed, "star_encoded": encoded}
    # RELION finds "data_" anywhere in a line, also in a comment
    comment = json.dumps(all_notes, default=str).replace("_", "\\u005f").replace("# version", "\\u0023 version")
    with path.open("wb") as file:
        file.write(f"{_NOTES}{comment}\n{text}\n".encode())
        # the rows aren't left to the library, which looks at each value by itself
        file.writelines(rows_as_text(columns, separator="\t", missing="nan", quoted=_quoted))
        file.write(b"\n")


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts as words: all that isn't one was encoded, but for empty ones."""
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(texts, ""), '""', texts)


def restored_features(features: Mapping[str, NDArray[Any]], notes: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Columns as they were before they got the names and the spelling that such a file allows."""
    encoded, names = notes.get("star_encoded", ()), notes.get("star_names", {})
    found: dict[str, NDArray[Any]] = {}
    for label, column in features.items():
        if label in encoded:
            column = _changed(column.tolist(), unquote)  # noqa: PLW2901
        name = names.get(label, label)
        is_taken = name in found or (name != label and name in features and name not in names)
        found[label if is_taken else name] = column
    return found


def _optics(picks: Picks, dialect: Dialect) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """The rows of the optics table, with the width of a pixel, and the group of each pick."""
    label = PIXEL_SIZES[dialect == "relion3"]
    groups = _groups_of_source(picks)
    if groups is None:
        groups, rows = np.ones(len(picks), dtype=np.int64), [{GROUP: "1", "rlnOpticsGroupName": "opticsGroup1"}]
    else:
        rows = _source_optics(picks)
    if picks.spacing_angstrom is None:
        return rows, groups
    # a reader that finds both widths goes by the tilt series', as ours does: 3.1's says the same then
    return [{**row, label: row.get(PIXEL_SIZES[0], row.get(label, picks.spacing_angstrom))} for row in rows], groups


def _pixels_of(optics: list[dict[str, Any]], groups: NDArray[np.int64], dialect: Dialect) -> NDArray[np.float64] | None:
    """The width of the pixels in which each pick is counted, where it is known."""
    label = PIXEL_SIZES[dialect == "relion3"]
    of_group = {int(row[GROUP]): float(row[label]) for row in optics if label in row}
    return np.array([of_group[group] for group in groups.tolist()]) if len(of_group) == len(optics) else None


def _groups_of_source(picks: Picks) -> NDArray[np.int64] | None:
    """The picks' optics groups in the project that they come from; None where some aren't of any."""
    known = [int(row[GROUP]) for row in _source_optics(picks)]
    if not known:
        return None
    column = picks.features.get(GROUP)
    if len(known) == 1:  # also of picks that were added since
        return np.full(len(picks), known[0])
    if column is None or column.dtype.kind not in "if":
        return None
    is_given = np.isfinite(column)
    different = np.unique(column[is_given])
    if not np.isin(different, known).all() or (not is_given.all() and len(different) != 1):
        return None
    of_all = different[:1].sum()  # most often, those of a tomogram are of one group
    return np.where(is_given, column, of_all).astype(np.int64)


def _source_optics(picks: Picks) -> list[dict[str, Any]]:
    """The optics table of the project that picks come from, if all of it can be written again; else empty."""
    project = picks.about.get(PROJECT)
    rows = project.get("optics") if isinstance(project, Mapping) else None
    rows = rows if isinstance(rows, list | tuple) else []
    usable = [dict(row) for row in rows if isinstance(row, Mapping) and _is_writable(row) and _is_group(row)]
    same = len({frozenset(row) for row in usable}) <= 1
    return usable if same and len(usable) == len(rows) else []


def _source_general(picks: Picks) -> dict[str, Any]:
    project = picks.about.get(PROJECT)
    general = project.get("general") if isinstance(project, Mapping) else None
    return dict(general) if isinstance(general, Mapping) and _is_writable(general) else {}


def _is_group(row: Mapping[str, Any]) -> bool:
    try:
        return int(row[GROUP]) > 0 and all(float(row[label]) > 0 for label in PIXEL_SIZES if label in row)
    except (KeyError, TypeError, ValueError):
        return False


def _is_writable(facts: Mapping[Any, Any]) -> bool:
    """Whether labels and values are words: what went through a file of provenance can be anything."""
    return all(
        isinstance(label, str) and label.startswith("rln") and label.isalnum() and _is_plain(str(value))
        for label, value in facts.items()
    )


def _position_columns(
    picks: Picks, dialect: Dialect, pixels: NDArray[np.float64] | None, images: Images
) -> dict[str, Any]:
    name = _tomogram_name(picks) or _NO_NAME
    label = TOMOGRAM_NAMES[dialect == "relion3"]
    values, labels = picks.points_xyz, PIXELS
    if images.beside_xyz_angstrom is not None and picks.spacing_angstrom is not None:
        values = values + images.beside_xyz_angstrom / picks.spacing_angstrom
    if dialect == "relion5":
        assert picks.shape_zyx is not None and picks.spacing_angstrom is not None  # noqa: S101, PT018
        values = (values - np.array(picks.shape_zyx[::-1]) / 2) * picks.spacing_angstrom
        labels = CENTRED
    elif pixels is not None and picks.spacing_angstrom is not None:
        values = values * (picks.spacing_angstrom / pixels)[:, None]
    # positions first: no reader can take a line that starts with a number for the start of a block
    return dict(zip(labels, values.T, strict=True)) | {label: np.full(len(picks), name, dtype=object)}


def _given_name(picks: Picks) -> str:
    """What the tomogram is called; empty where nobody said it."""
    return str(picks.about.get("tomogram_name") or picks.about.get("run_name") or "")


def _tomogram_name(picks: Picks) -> str:
    """What the tomogram is called, as one word; empty where nobody said it, or nothing of it can be written."""
    name = _given_name(picks)
    return name if _SAFE_TEXT.fullmatch(name) else re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")


def _orientation_columns(picks: Picks, images: Images) -> dict[str, Any]:
    """The particles' angles, in their images where these are turned."""
    orientations = orientations_of(picks)
    if orientations is None:
        return {}
    matrices = orientations.matrices_xyz
    if images.matrices_xyz is not None:
        matrices = np.swapaxes(images.matrices_xyz, 1, 2) @ matrices
    columns = dict(zip(ANGLES, angles_of(matrices, "relion").T, strict=True))
    if orientations.are_known.all():
        return columns
    return columns | {IS_ORIENTED: orientations.are_known.astype(int)}


def _labels(features: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """The label of each further column: its own name where that can be one and is free."""
    texts = {name for name, column in features.items() if column.dtype.kind not in "iuf"}
    taken = OWN | {*SCORES, *TOMOGRAM_NAMES} | (texts & {*IMAGE_PIXELS, *MAGNIFIED})
    if not {*SUBTOMOGRAM_ANGLES}.isdisjoint(features):  # priors are meant beside these, which aren't written as such
        taken |= {*PRIORS}
    labels: dict[str, str] = {}
    for number, name in enumerate(features):
        label = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not label or label in taken or label in labels or label.startswith(("_", "napariCryoetColumn")):
            label = f"napariCryoetColumn{number}"
        labels[label] = name
    return labels


def _needs_encoding(column: NDArray[Any]) -> bool:
    """Whether texts would trip a STAR reader, or come back as something else than texts."""
    if column.dtype.kind in "iufb":
        return False
    texts = [str(value) for value in dict.fromkeys(column.tolist())]
    return any(text and not _is_plain(text) for text in texts) or typed(texts).dtype.kind != "O"


def _is_plain(text: str) -> bool:
    return bool(_SAFE_TEXT.fullmatch(text)) and text.lower() != "nan"


def _as_text(column: NDArray[Any], *, encode: bool) -> NDArray[Any]:
    if column.dtype.kind in "iuf":
        return column
    if column.dtype.kind == "b":
        return column.astype(int)
    return _changed(column.tolist(), _encoded if encode else str)


def _changed(values: list[Any], change: Callable[[str], str]) -> NDArray[Any]:
    """Texts with something done to each that is different from others."""
    texts = {value: change(str(value)) for value in dict.fromkeys(values)}
    return np.array([texts[value] for value in values], dtype=object)


def _encoded(text: str) -> str:
    """A text spelled so that it is one word and no number: its first byte and all odd ones as %20."""
    start, rest = text[:1].encode(), text[1:]
    return "".join(f"%{byte:02X}" for byte in start) + quote(rest, safe="/@:+")


def _parsed_notes(text: str) -> dict[str, Any]:
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
