"""Offers the levels of volumes at the status strip, while volumes are shown."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_cryoet._qt.browser.run_layers import add_levels, level_text
from napari_cryoet._qt.browser.status_strip import StatusStrip
from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.streaming.volume_detail import VolumeDetail


class VolumeWatch(QObject):
    """Fills the menu of a `StatusStrip`."""

    def __init__(
        self, link: LayerManager, strip: StatusStrip, volumes: VolumeDetail, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._link, self._strip, self._volumes = link, strip, volumes
        link.changed.connect(self.update)
        volumes.changed.connect(self.update)
        strip.levels_requested.connect(self.update)
        self.update()

    def update(self) -> None:
        """Offer what there is to choose from."""
        volumes, menu = self._volumes, self._strip.levels_menu
        keys = volumes.volumes() if volumes.is_3d else ()
        menu.clear()
        shown = []
        for key in keys:
            name = self._link.layers_of(key)[0].name
            heading = menu.addAction(f"3D detail of {name}".replace("&", "&&"))
            if heading is not None:
                heading.setEnabled(False)
            add_levels(menu, volumes, key)
            chosen = volumes.chosen(key)
            shown += [level_text(cost) for cost in volumes.levels(key) if cost.level == chosen]
        said = f"3D detail: {'; '.join(shown)}"
        self._strip.levels.setAccessibleName(said)
        self._strip.levels.setToolTip(said)
        self._strip.levels.setVisible(bool(keys))
