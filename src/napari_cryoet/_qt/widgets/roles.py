"""What item models of ours hold beside the roles of Qt."""

from __future__ import annotations

from enum import IntEnum

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, Qt

#: Where a row is; Qt hands over either.
Index = QModelIndex | QPersistentModelIndex


class Role(IntEnum):
    """Data roles; each row gives its record whole, and a delegate draws from that."""

    RECORD = Qt.ItemDataRole.UserRole + 1
    PICTURE = Qt.ItemDataRole.UserRole + 2  # QPixmap, or None until it is there
    SECOND_LINE = Qt.ItemDataRole.UserRole + 3
    IS_DEFAULT = Qt.ItemDataRole.UserRole + 4
    IS_OPEN = Qt.ItemDataRole.UserRole + 5
    LOOK = Qt.ItemDataRole.UserRole + 6  # the `Appearance` of a row's layer, or None
    COLOR = Qt.ItemDataRole.UserRole + 7  # of an object: red, green, blue, opacity
