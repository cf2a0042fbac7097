"""The portal's metadata: queries, where their answers come from, and answers as records."""
