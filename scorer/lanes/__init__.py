"""Lanes: the reference and the candidates that the loop compares with it."""
