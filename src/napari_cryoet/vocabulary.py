"""The portal's closed word lists, kept open: a word that the portal adds later survives as ``OTHER`` with its text."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class OpenEnum(StrEnum):
    """An enumeration that never refuses a word.

    A value that isn't listed becomes a member named ``OTHER`` that keeps the text, so newer answers of the portal can
    be shown, compared and written back as they came.

    >>> ShapeType("Point").is_known, ShapeType("Hologram").is_known, str(ShapeType("Hologram"))
    (True, False, 'Hologram')
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        stranger = str.__new__(cls, value)
        stranger._name_ = "OTHER"
        stranger._value_ = value
        return stranger

    @property
    def is_known(self) -> bool:
        """Whether the schema that this package was written for has this word."""
        return self._value_ in type(self)._value2member_map_


class SampleType(OpenEnum):
    """What was imaged."""

    CELL = "cell"
    CELL_LINE = "cell_line"
    IN_SILICO = "in_silico"
    IN_VITRO = "in_vitro"
    ORGANELLE = "organelle"
    ORGANISM = "organism"
    ORGANOID = "organoid"
    OTHER_SAMPLE = "other"
    PRIMARY_CELL_CULTURE = "primary_cell_culture"
    TISSUE = "tissue"
    VIRUS = "virus"


class Processing(OpenEnum):
    """What was done to a tomogram after its reconstruction."""

    RAW = "raw"
    FILTERED = "filtered"
    DENOISED = "denoised"
    FILTERED_EVEN = "filtered_even"
    FILTERED_ODD = "filtered_odd"


class ReconstructionMethod(OpenEnum):
    """How a tomogram was computed from its tilt series."""

    WBP = "WBP"
    SIRT = "SIRT"
    SART = "SART"
    FOURIER_SPACE = "Fourier_Space"
    UNKNOWN = "Unknown"


class FiducialAlignmentStatus(OpenEnum):
    """Whether gold beads were used to align the tilt series."""

    FIDUCIAL = "FIDUCIAL"
    NON_FIDUCIAL = "NON_FIDUCIAL"


class MicroscopeManufacturer(OpenEnum):
    """Who built the microscope."""

    FEI = "FEI"
    TFS = "TFS"
    JEOL = "JEOL"
    SIMULATED = "SIMULATED"


class AlignmentType(OpenEnum):
    """Whether an alignment is rigid for the whole image or varies within it."""

    LOCAL = "LOCAL"
    GLOBAL = "GLOBAL"


class AlignmentMethod(OpenEnum):
    """How a tilt series was aligned."""

    PROJECTION_MATCHING = "projection_matching"
    PATCH_TRACKING = "patch_tracking"
    FIDUCIAL_BASED = "fiducial_based"
    SIMULATED = "simulated"


class MethodType(OpenEnum):
    """Who or what made an annotation."""

    MANUAL = "manual"
    HYBRID = "hybrid"
    AUTOMATED = "automated"
    SIMULATED = "simulated"


class MethodLinkType(OpenEnum):
    """What a link of an annotation's method leads to."""

    DOCUMENTATION = "documentation"
    MODELS_WEIGHTS = "models_weights"
    SOURCE_CODE = "source_code"
    WEBSITE = "website"
    OTHER_LINK = "other"


class ShapeType(OpenEnum):
    """How an annotation is drawn."""

    POINT = "Point"
    ORIENTED_POINT = "OrientedPoint"
    INSTANCE_SEGMENTATION = "InstanceSegmentation"
    SEGMENTATION_MASK = "SegmentationMask"
    INSTANCE_SEGMENTATION_MASK = "InstanceSegmentationMask"
    MESH = "Mesh"
    GLOBAL_CAPTION = "GlobalCaption"
    ANNOTATION_CAPTION = "AnnotationCaption"


class FileSource(OpenEnum):
    """Where an annotation file came from."""

    DATASET_AUTHOR = "dataset_author"
    COMMUNITY = "community"
    PORTAL_STANDARD = "portal_standard"


class DepositionKind(OpenEnum):
    """What a deposition holds."""

    ANNOTATION = "annotation"
    DATASET = "dataset"
    TOMOGRAM = "tomogram"
