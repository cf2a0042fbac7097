"""The views that the user keeps for each run, and those of packs: a file and a small picture each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from napari_cryoet.exceptions import ExistsError, FormatError, SaveError
from napari_cryoet.files import clean_name, data_path, replace_file
from napari_cryoet.views.view import SUFFIX, View, read_view, write_view

#: The folder of the views in a pack.
VIEWS: Final = "views"
_PICTURE: Final = ".png"
_MAX_PACKED: Final = 200


class KeptView(NamedTuple):
    """A view that is kept; there may be no picture."""

    path: Path

    @property
    def title(self) -> str:
        """What it is called: by itself, or else by its file."""
        title = ""
        with suppress(FormatError):
            title = read_view(self.path).words.title
        return title or self._stem

    @property
    def picture(self) -> Path:
        """The path of its picture."""
        return self.path.with_name(self._stem + _PICTURE)

    @property
    def _stem(self) -> str:
        return self.path.name.removesuffix(SUFFIX)


def kept_views(dataset_id: int, run_name: str) -> list[KeptView]:
    """The views that are kept for a run, by name."""
    paths = _folder(dataset_id, run_name).glob(f"*{SUFFIX}")
    return [KeptView(path) for path in sorted(paths)]


def packed_views(pack: Path, dataset_id: int, run_name: str) -> list[KeptView]:
    """The views of a run that a pack has, by name, without damaged ones."""
    found = []
    for path in sorted((pack / VIEWS).glob(f"*{SUFFIX}"))[:_MAX_PACKED]:
        with suppress(FormatError):
            runs = [(run.dataset_id, run.run_name) for run in read_view(path).runs]
            if (dataset_id, run_name) in runs:
                found.append(KeptView(path))
    return found


def free_title(dataset_id: int, run_name: str) -> str:
    """A name that no view of a run has yet: ``View 1``."""
    taken = {kept.title for kept in kept_views(dataset_id, run_name)}
    titles = (f"View {number}" for number in range(1, len(taken) + 2))
    return next(title for title in titles if title not in taken)


def keep_view(
    view: View, title: str, dataset_id: int, run_name: str, picture: bytes = b""
) -> KeptView:
    """Keep a view for a run, with a picture as PNG.

    ExistsError if the run has one of this title, SaveError if it can't be written.
    """
    return _write(view, _folder(dataset_id, run_name), title, picture)


def rename_view(kept: KeptView, title: str) -> KeptView:
    """Give a kept view another title; ExistsError if another one has it."""
    picture = b""
    with suppress(OSError):
        picture = kept.picture.read_bytes()
    renamed = _write(read_view(kept.path), kept.path.parent, title, picture)
    delete_view(kept)
    return renamed


def delete_view(kept: KeptView) -> None:
    """Delete a kept view and its picture."""
    kept.path.unlink(missing_ok=True)
    kept.picture.unlink(missing_ok=True)


def _write(view: View, folder: Path, title: str, picture: bytes) -> KeptView:
    name = clean_name(title)
    view = replace(view, words=replace(view.words, title=title[:300]))
    try:
        path = write_view(view, folder / f"{name}{SUFFIX}")
    except ExistsError as error:
        raise ExistsError(f"This run has a view “{title}”.", hint="Choose another name.") from error
    kept = KeptView(path)
    if picture:
        with suppress(SaveError):  # the view matters more
            replace_file(kept.picture, picture)
    return kept


def _folder(dataset_id: int, run_name: str) -> Path:
    return data_path() / "views" / clean_name(f"DS-{dataset_id} {run_name}")
