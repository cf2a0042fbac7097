"""The dock that compares annotations."""
