"""The dock that browses a portal."""
