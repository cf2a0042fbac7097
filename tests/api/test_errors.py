"""The error hierarchy: all errors are `CryoETError`, with a message and possibly a hint."""

from __future__ import annotations

import napari_cryoet
from napari_cryoet import CryoETError

PARENTS = {
    "NetworkError": "CryoETError",
    "PortalError": "CryoETError",
    "NotFoundError": "PortalError",
    "PackError": "PortalError",
    "FormatError": "CryoETError",
    "MissingContextError": "FormatError",
    "SaveError": "CryoETError",
    "ExistsError": "SaveError",
    "StreamError": "CryoETError",
    "DownloadError": "CryoETError",
    "ComparisonError": "CryoETError",
    "StoppedError": "CryoETError",
}


def test_every_public_error_has_its_parent():
    public = (getattr(napari_cryoet, name) for name in napari_cryoet.__all__)
    errors = {
        each.__name__: each
        for each in public
        if isinstance(each, type) and issubclass(each, Exception)
    }

    assert errors.keys() == {*PARENTS, "CryoETError"}
    for name, parent in PARENTS.items():
        assert issubclass(errors[name], errors[parent])


def test_str_joins_message_and_hint():
    error = CryoETError("The disk is full.", hint="Free some space.")

    assert (error.message, error.hint) == ("The disk is full.", "Free some space.")
    assert str(error) == "The disk is full. Free some space."
    assert str(CryoETError("The disk is full.")) == "The disk is full."
