"""Candidates whose weights are not the reference's."""
