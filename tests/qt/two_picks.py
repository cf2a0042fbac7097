"""Picks with all optional fields, and napari's notifications since the test began."""

import numpy as np
from napari.utils.notifications import notification_manager

from napari_cryoet.picks import Picks

ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def two_picks() -> Picks:
    return Picks(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        10.0,
        rotations_zyx=ROTATIONS,
        scores=[0.25, 0.75],
        shape_zyx=(40, 50, 60),
        alignment_id=17,
        about={"authors": ["Ada"], "object_name": "ribosome", "run_name": "TS_1"},
    )


def messages() -> str:
    return " ".join(notification.message for notification in notification_manager.records)
