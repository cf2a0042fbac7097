"""Layer types of our own."""
