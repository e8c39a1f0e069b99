"""Saved runs: their files, identity, list and lock."""
