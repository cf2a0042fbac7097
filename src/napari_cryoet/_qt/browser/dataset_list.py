"""The screen of all datasets."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.catalogue_list import CatalogueList
from napari_cryoet._qt.browser.dataset_delegate import DatasetDelegate
from napari_cryoet._qt.browser.dataset_model import DatasetModel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.portal.pages import CatalogueRow


class DatasetList(CatalogueList[CatalogueRow]):
    """Lists datasets."""

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        model = DatasetModel(thumbnails)
        super().__init__(theme, "dataset", model, DatasetDelegate(theme), parent)
        self.model = model
