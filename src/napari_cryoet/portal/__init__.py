"""The portal's metadata: queries, where their answers come from, answers as records, and the search."""
