"""A volume of grey values that is taken for a mask is named as one, and no mask is."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_cryoet import Mask, compare, open_annotation, open_portal, report_text
from napari_cryoet.picks import Picks

PICKS = Picks([[2.0, 3, 4]], 10.0)
WORDS = "looks like a volume of grey values, not like a mask"


def grey_notes(mask: Mask) -> list[str]:
    both = [compare(PICKS.changed(spacing_angstrom=mask.spacing_angstrom), mask, insist=True), compare(mask, mask)]
    return [note for found in both for note in found.notes if WORDS in note]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("deviation", [1.5, 40])
def test_grey_values_are_named_on_either_side(dtype: type, deviation: float, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).normal(120, deviation, (12, 40, 50)).clip(0, 255).round().astype(dtype)
    if dtype is np.uint8:
        tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="minisblack")
        mask = open_annotation(tmp_path / "grey.tif", spacing_angstrom=10)
    else:
        mrcfile.write(tmp_path / "grey.mrc", grey, voxel_size=10)
        mask = open_annotation(tmp_path / "grey.mrc")
    assert isinstance(mask, Mask)

    assert [note[0] for note in grey_notes(mask)] == ["B", "A", "B"]
    assert WORDS in report_text(compare(PICKS, mask))


def test_the_coarser_of_two_is_named_too() -> None:
    grey = np.random.default_rng(0).integers(0, 200, (8, 20, 20)).astype(np.uint8)
    flat = np.ones((16, 40, 40), np.uint8)

    assert [note[0] for note in compare(Mask(grey, 20), Mask(flat, 10)).notes if WORDS in note] == ["A"]
    assert [note[0] for note in compare(Mask(flat, 10), Mask(grey, 20)).notes if WORDS in note] == ["B"]


@pytest.mark.parametrize("side", [2, 3, 8])
def test_objects_without_any_background_are_no_grey_values(side: int) -> None:
    ids = np.random.default_rng(0).permutation(20**3).reshape(20, 20, 20) + 1
    mask = Mask(np.kron(ids, np.ones((side, side, side), int)).astype(np.uint32), 10.0)

    assert grey_notes(mask) == []


def test_objects_of_a_voxel_each_are_no_grey_values() -> None:
    labels = np.zeros((30, 60, 60), np.uint16)
    labels[::2, ::2, ::2] = np.arange(1, 15 * 30 * 30 + 1).reshape(15, 30, 30)

    assert grey_notes(Mask(labels, 10.0)) == []


def test_no_mask_of_the_demo_is_named(demo_pack: Path) -> None:
    pages = [open_portal(demo_pack).run_page(run) for run in (9001, 9002)]
    files = [file for page in pages for file in page.annotation_files if file.format in ("zarr", "mrc")]
    opened = [open_annotation(file) for file in files]

    assert sum(isinstance(mask, Mask) for mask in opened) > 3
    assert [grey_notes(mask) for mask in opened if isinstance(mask, Mask)] == [[]] * len(opened)
