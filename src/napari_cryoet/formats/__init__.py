"""One module for each file format; xyz and zyx, ångström and voxels are converted only here."""
