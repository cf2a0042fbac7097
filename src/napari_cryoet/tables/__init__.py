"""The portal's tables: their schema and their rows, held in SQLite."""
