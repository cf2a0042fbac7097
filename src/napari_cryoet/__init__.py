"""Browse, stream, overlay and download the CZ CryoET Data Portal."""
