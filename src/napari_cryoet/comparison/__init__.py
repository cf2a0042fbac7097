"""Compare annotations: matches, scores, distances and angles of picks; overlaps of masks.

The package isn't named ``compare`` because importing it would shadow the function
`napari_cryoet.compare`.
"""
