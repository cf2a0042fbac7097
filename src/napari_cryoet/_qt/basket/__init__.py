"""The basket in the window: its ticks in every list, the strip below every page, its own page, and its download."""
