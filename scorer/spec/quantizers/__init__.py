"""Descriptions of the quantizers that can store keys and values. Imports no mlx."""
