"""The portal's tables: their schema, and their rows in SQLite."""
