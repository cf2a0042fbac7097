"""File formats: bytes to arrays and back, one file a format; only here does x, y, z become z, y, x."""
