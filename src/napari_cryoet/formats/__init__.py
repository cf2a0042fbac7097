"""File formats: bytes to arrays and back, one file a format; here, and in `meshes`, x, y, z becomes z, y, x."""
