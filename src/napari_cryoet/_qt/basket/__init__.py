"""The basket in the dock: its state behind the ticks of all lists, the strip below each page, and its page."""
