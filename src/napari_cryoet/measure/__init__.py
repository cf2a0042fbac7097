"""Measure picks in volumes and masks: one named column of numbers for each question.

Lengths are in nanometres. Everything is pure, and bounded in memory.
"""
