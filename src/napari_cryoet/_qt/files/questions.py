"""Questions about files: missing information, information that a format loses, and replacing files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QInputDialog,
    QSpinBox,
    QWidget,
)

from napari_cryoet._qt.layers.ownership import active_layer
from napari_cryoet._qt.layers.placement import ShownVolume, shown_volumes
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.widgets.controls import (
    agrees,
    column_in,
    form_of,
    main_window,
    narrow_combo,
    number_box,
    plain_label,
    row_of,
    viewer_of_a_person,
    viewer_to_ask_in,
)
from napari_cryoet.exceptions import ContextField, MissingContextError
from napari_cryoet.formats.relion import TOMOGRAM_NAME
from napari_cryoet.layers.readers import LayerData, only_path, read_pick_file
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM, METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.wording import plain, spacing_text

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_cryoet.formats.registry import PickFormat

#: The versions of RELION's format, newest first.
RELION_VERSIONS: Final[dict[PickFormat, str]] = {"relion5": "5", "relion4": "4", "relion3": "3.1"}

_MAX_VOXELS: Final = 2**20
_PLUGIN: Final = "napari-cryoet"
_CHOOSE: Final = "choose…"
_COMBO_LETTERS: Final = 20  # not the longest name's length
#: Whether a file that lacks something is opened again, after those that were dropped with it.
_HAS_WAITED: Final = ContextVar("has_waited", default=False)


# before writing


def may_write(name: str, losses: Sequence[str]) -> bool:
    """Ask whether to write a file despite its losses; True for scripts."""
    viewer = viewer_of_a_person()
    if viewer is None or not losses:
        return True
    return agrees(
        main_window(viewer),
        "Information that the file will lose",
        f"Before {plain(name)} is written:",
        verb="Write",
        details="\n".join(f"• {line}" for line in losses),
        is_harmless=True,
    )


def relion_version(picks: Picks) -> PickFormat | None:
    """Ask for the version of RELION; None if the user cancels.

    Scripts get the newest possible version.
    """
    from napari_cryoet.formats.registry import missing_for

    possible: list[PickFormat] = [name for name in RELION_VERSIONS if not missing_for(picks, name)]
    viewer = viewer_of_a_person()
    if viewer is None or len(possible) == 1:
        return possible[0]
    versions = [RELION_VERSIONS[name] for name in possible]
    prompt = "Which version of RELION will read the file?"
    version, is_ok = QInputDialog.getItem(main_window(viewer), "RELION", prompt, versions, 0, False)
    return possible[versions.index(version)] if is_ok else None


# while reading


class ContextAnswer(NamedTuple):
    """A user's answers about a file; None for unanswered questions."""

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None

    def updated(self, other: ContextAnswer) -> ContextAnswer:
        """The answer, with the other's values taking precedence."""
        return self._replace(
            **{name: value for name, value in other._asdict().items() if value is not None}
        )


def completed(found: list[LayerData] | MissingContextError, path: Any) -> list[LayerData]:
    """The layers of a file, read again with what the user answers if information is missing.

    Empty if they cancel. Scripts aren't asked: they get the error, or layers in voxels.
    """
    answer = ContextAnswer()
    viewer = viewer_to_ask_in()
    file = Path(only_path(path))
    while True:
        question = _question_of(found, file)
        if viewer is None or question is None:
            if isinstance(found, MissingContextError):
                raise found
            return found
        volumes = shown_volumes(viewer.layers)
        reply = known_answer(question, volumes, file)
        if reply is not None:
            grid = reply.tomogram or f"voxels of {spacing_text(reply.spacing_angstrom)}"
            show_info(plain(f"{file.name}: {grid}, by the open tomogram."))
        elif viewer_of_a_person() is not None and not _HAS_WAITED.get():
            _open_later(viewer, str(file))
            return []
        reply = reply or _ask(question, volumes, viewer)
        if reply is None:
            return []
        if reply == ContextAnswer() and not isinstance(found, MissingContextError):
            return found  # in voxels
        answer = answer.updated(reply)
        found = _read_with(answer, path)


def known_answer(
    question: MissingContextError, volumes: Sequence[ShownVolume], file: Path
) -> ContextAnswer | None:
    """The answer that the open volumes give; None if a person has to give it.

    It is the tomogram in the file that is open, or the grid of the open volume that has its name. A
    file that names no tomogram belongs to the volumes from its folder, if they have the same grid.
    """
    if "tomogram" in question.missing:
        is_open = [name for name in question.choices if _named(name, volumes)]
        return ContextAnswer(tomogram=is_open[0]) if len(is_open) == 1 else None
    candidates = [volume for name in question.choices for volume in _named(name, volumes)]
    if not question.choices:
        candidates = [
            each for each in volumes if each.path and Path(each.path).parent == file.parent
        ]
    # files round their spacing
    grids = {(f"{each.spacing_angstrom:.4g}", each.shape_zyx) for each in candidates}
    return ContextAnswer(*candidates[0][1:3]) if len(grids) == 1 else None


def _named(tomogram: str, volumes: Sequence[ShownVolume]) -> list[ShownVolume]:
    """The volumes whose run, or else name, has the tomogram's name in it: ``rec_TS_1`` of TS_1, not ``TS_1_2``.

    A number alone isn't a name.
    """
    if tomogram.isdigit():
        return []
    number = r"[_-]\d+(?![\d.]*Apx)"  # Warp adds the voxel spacing: TS_1_10.00Apx
    word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(tomogram)}(?![A-Za-z0-9]|{number})")
    return [volume for volume in volumes if word.search(volume.run_name or volume.name)]


def _open_later(viewer: Viewer, path: str) -> None:
    """Open a file again, to ask about it, once the files that were dropped with it are open."""
    context = copy_context()
    context.run(_HAS_WAITED.set, True)
    waiting = QObject(main_window(viewer))
    waiting.destroyed.connect(lambda: context.run(viewer.open, path, plugin=_PLUGIN))
    # unlike a timer, it isn't handled by the events that are processed while those files are read
    waiting.deleteLater()


def ask_spacing(layer: Layer, parent: QWidget) -> bool:
    """Ask for the voxel spacing of a layer in pixels, and set its scale.

    False if the user doesn't answer.
    """
    dialog = ContextDialog(
        f"{plain(layer.name)} doesn't say how wide its voxels are.",
        ["spacing_angstrom"],
        parent=parent,
    )
    spacing = dialog.answer.spacing_angstrom if dialog.exec() else None
    if spacing is None:
        return False
    wider = spacing / np.abs(layer.scale)
    layer.scale, layer.translate = layer.scale * wider, layer.translate * wider
    layer.units = ("angstrom",) * layer.ndim
    return True


def _read_with(answer: ContextAnswer, path: Any) -> list[LayerData] | MissingContextError:
    try:
        return wait_for(lambda _job: read_pick_file(only_path(path), **answer._asdict()))
    except MissingContextError as error:
        return error


def _ask(
    question: MissingContextError, volumes: Sequence[ShownVolume], viewer: Viewer
) -> ContextAnswer | None:
    dialog = ContextDialog(
        str(question), question.missing, question.choices, volumes, parent=main_window(viewer)
    )
    active = active_layer(viewer.layers)
    dialog.prefer(question.choices, "" if active is None else active.name)
    return dialog.answer if dialog.exec() else None


def _question_of(
    found: list[LayerData] | MissingContextError, file: Path
) -> MissingContextError | None:
    """What a file lacks, such as the voxel spacing of its picks; None if nothing."""
    if isinstance(found, MissingContextError):
        return found
    for _data, options, _kind in found:
        metadata = options.get("metadata", {})
        picks = metadata.get(PICKS_KEY)
        if (
            picks is not None and picks.spacing_angstrom is None and file.suffix
        ):  # a file, not a pack
            about = Provenance.of(metadata.get(METADATA_KEY))
            warnings = [text for text in about.warnings if "pixel size" in text]
            message = f"{file.name} doesn't say how wide its voxels are. If you don't know, it opens in voxels."
            tomogram = about.more.get(TOMOGRAM_NAME) or about.run_name
            return MissingContextError(
                " ".join([message, *warnings]),
                missing=("spacing_angstrom",),
                choices=(str(tomogram),) if tomogram else (),
            )
    return None


class ContextDialog(QDialog):
    """Asks for the tomogram, voxel spacing or volume size that a file lacks."""

    def __init__(
        self,
        message: str,
        missing: Sequence[ContextField],
        choices: Sequence[str] = (),
        volumes: Sequence[ShownVolume] = (),
        *,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Missing information")
        self.setMinimumWidth(360)
        self._volumes = tuple(volumes)
        self.message = plain_label(message)
        self.tomogram = narrow_combo("Tomogram in the file", [_CHOOSE, *choices], _COMBO_LETTERS)
        self.volume = narrow_combo(
            "Volume that is open", [_CHOOSE, *map(_label_of, volumes)], _COMBO_LETTERS
        )
        self.spacing = number_box(
            "Voxel spacing in ångström", "Å", MAX_SPACING_ANGSTROM, decimals=6, unset="not known"
        )
        self.sizes_zyx = [QSpinBox() for _ in "zyx"]
        for axis, box in zip("zyx", self.sizes_zyx, strict=True):
            box.setRange(0, _MAX_VOXELS)
            box.setSpecialValueText(axis)
            box.setAccessibleName(f"Size along {axis} in voxels")
        sizes = row_of(*self.sizes_zyx)
        asks_size = "shape_zyx" in missing  # needs the voxel spacing too
        asks_spacing = asks_size or "spacing_angstrom" in missing
        form = form_of(
            ("Tomogram", self.tomogram),
            ("Same as", self.volume),
            ("Voxel spacing", self.spacing),
            ("Voxels z, y, x", sizes),
        )
        form.setRowVisible(self.tomogram, "tomogram" in missing)
        form.setRowVisible(self.volume, asks_spacing and bool(volumes))
        form.setRowVisible(self.spacing, asks_spacing)
        form.setRowVisible(sizes, asks_size)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column_in(self, self.message, form, buttons)
        self.volume.currentIndexChanged.connect(self._on_volume)

    def prefer(self, tomograms: Sequence[str], active: str) -> None:
        """Preselect the open volume with a tomogram's name, else the active or the last one."""
        names = [volume.name for volume in self._volumes]
        named = [volume.name for name in tomograms for volume in _named(name, self._volumes)]
        named.sort(key=lambda name: name != active)
        wanted = [name for name in (*named, active, *reversed(names)) if name in names]
        self.volume.setCurrentIndex(names.index(wanted[0]) + 1 if wanted else 0)

    @property
    def answer(self) -> ContextAnswer:
        """The answer; a chosen volume provides its exact spacing and size."""
        tomogram = self.tomogram.currentText() if self.tomogram.currentIndex() > 0 else None
        if self.volume.currentIndex() > 0:
            chosen = self._volumes[self.volume.currentIndex() - 1]
            return ContextAnswer(chosen.spacing_angstrom, chosen.shape_zyx, tomogram)
        z, y, x = (box.value() for box in self.sizes_zyx)
        return ContextAnswer(
            self.spacing.value() or None, (z, y, x) if z and y and x else None, tomogram
        )

    def _on_volume(self, index: int) -> None:
        for box in (self.spacing, *self.sizes_zyx):
            box.setEnabled(index == 0)


def _label_of(volume: ShownVolume) -> str:
    return f"{volume.name} ({spacing_text(volume.spacing_angstrom)}, {' × '.join(map(str, volume.shape_zyx))})"
