"""What a run offers: its annotations in order, and which of them fit which tomogram."""
