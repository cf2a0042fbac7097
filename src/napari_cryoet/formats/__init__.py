"""One module per file format.

Only these modules convert between xyz and zyx, and between ångström and voxels.
"""
