"""From a question to runs: an index of a portal, searches in it, facets with counts, lists, citations, scripts."""
