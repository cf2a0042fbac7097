"""The dock for browsing a portal."""
