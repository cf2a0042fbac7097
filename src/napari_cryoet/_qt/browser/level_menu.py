"""The levels of what is shown as items of a menu, each with what it costs, before it is chosen."""

from __future__ import annotations

from qtpy.QtGui import QActionGroup
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.texture_limit import largest_texture_side
from napari_cryoet._qt.streaming.volume_detail import VolumeDetail
from napari_cryoet.streaming.plan import LevelCost
from napari_cryoet.wording import size_text


def add_levels(menu: QMenu, volumes: VolumeDetail, key: LayerKey) -> None:
    """Add an item for each level of something, coarsest first; what is too large says for what."""
    group = QActionGroup(menu)
    chosen = volumes.chosen(key)
    for cost in volumes.levels(key):
        is_chosen = cost.level == chosen
        action = menu.addAction(
            level_text(cost, is_shown=is_chosen and volumes.is_3d, limit_text=_limit(cost, volumes))
        )
        if action is None:
            continue
        action.setCheckable(True)
        action.setChecked(is_chosen)
        action.setEnabled(cost.obstacle is None)
        action.setActionGroup(group)
        action.triggered.connect(lambda _checked=False, level=cost.level: volumes.choose(key, level))


def level_text(cost: LevelCost, *, is_shown: bool = False, limit_text: str = "") -> str:
    """A level and what it costs: ``level 2, 13 MB (shown)``, ``level 0, 1.7 GB – too large for …``."""
    text = f"level {cost.level}, {size_text(cost.wire_bytes)}"
    if cost.obstacle is not None:
        return f"{text} – too large for {limit_text}"
    return f"{text} (shown)" if is_shown else text


def _limit(cost: LevelCost, volumes: VolumeDetail) -> str:
    if cost.obstacle == "graphics card":
        return f"this graphics card ({cost.largest_side} of {largest_texture_side()} voxels a side)"
    return f"memory ({size_text(cost.memory_bytes)} of {size_text(volumes.largest_bytes)})"
