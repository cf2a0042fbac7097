"""What a screen says, without Qt: rows, texts and breadcrumbs of each page."""
