"""The appearance of objects: a stable colour and a diameter for each."""
