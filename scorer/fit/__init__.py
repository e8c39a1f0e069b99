"""Estimates whether a run fits in memory, before anything is loaded."""
