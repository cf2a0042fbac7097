"""The dock that checks picks against the density."""
