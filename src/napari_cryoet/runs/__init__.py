"""The annotations of a run in order, and which of them fit which tomogram."""
