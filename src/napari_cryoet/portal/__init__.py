"""The portal's metadata: queries, the sources that answer them, and answers as records."""
