"""Review picks: crops around them, sorting and filtering, verdicts that survive a crash, and kept picks.

Each name is imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    "napari_cryoet",
    submod_attrs={
        "review.columns": ["Order"],
        "review.review": ["Review", "kept_picks"],
        "review.session": ["Subject", "Verdict"],
        "volumes.crops": ["CropReader", "Cube", "Frame", "RunningMean"],
    },
)
