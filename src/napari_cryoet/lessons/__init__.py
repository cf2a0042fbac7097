"""Lessons: steps with views, tasks that are graded against a hidden reference, and results."""
