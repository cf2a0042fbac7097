"""A class: a served pack with lessons, a board for the teacher, and students who join with a code."""
