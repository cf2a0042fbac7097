"""Bytes of remote and local images to arrays: the engine that replaces `streaming`, under another name until then."""
