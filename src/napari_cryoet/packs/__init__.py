"""Offline slices of the portal: a folder with tables and files that is browsed, streamed and served like the portal."""
