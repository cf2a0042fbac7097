"""The demo, as a portal and as a run with a function to find annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_cryoet import Portal, open_portal

RUN = 9001  # it has every shape of annotation, two voxel spacings and two alignments


@pytest.fixture(scope="session")
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


@pytest.fixture(scope="session")
def run_page(portal: Portal) -> Any:
    return portal.run_page(RUN)


@pytest.fixture(scope="session")
def tomogram(run_page: Any) -> Any:
    return run_page.default_tomogram


@pytest.fixture(scope="session")
def find(run_page: Any, tomogram: Any) -> Callable[..., Any]:
    """Find an annotation file by shape, by default on the default tomogram's alignment and voxel spacing."""

    def find_file(
        shape: str,
        file_format: str = "",
        *,
        object_name: str = "",
        aligned: bool = True,
        **about: Any,
    ) -> Any:
        for file in run_page.annotation_files:
            annotation = file.shape.annotation
            is_like = file.shape.shape_type == shape and file.format.endswith(file_format)
            is_like &= object_name in annotation.object_name
            is_like &= (file.alignment_id == tomogram.alignment_id) == aligned
            if is_like and all(getattr(annotation, name) == value for name, value in about.items()):
                return file
        raise AssertionError(f"the demo has no {shape} of {object_name}")

    return find_file
