"""The dock to review picks."""
