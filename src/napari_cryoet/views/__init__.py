"""Views: what is on the canvas as a small text, to open again, to send and to publish."""
