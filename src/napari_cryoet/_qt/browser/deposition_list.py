"""The screen of all depositions."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.catalogue_list import CatalogueList
from napari_cryoet._qt.browser.deposition_delegate import DepositionDelegate
from napari_cryoet._qt.browser.deposition_model import DepositionModel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.portal.pages import DepositionRow


class DepositionList(CatalogueList[DepositionRow]):
    """Lists depositions."""

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        model = DepositionModel(thumbnails)
        super().__init__(theme, "deposition", model, DepositionDelegate(theme), parent)
        self.model = model
