"""Known objects, and the appearance of all: a stable colour and a diameter for each."""
