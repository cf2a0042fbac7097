"""How far two annotations agree: matches, scores, distances and angles of picks; overlaps of masks.

The package isn't called ``compare``: importing it would replace the function `napari_cryoet.compare`.
"""
