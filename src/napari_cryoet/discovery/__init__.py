"""Search a portal for runs: the index, searches, facets with counts, lists and scripts."""
