"""The dock that judges picks."""
