"""Attention, activations and linear layers in NumPy for the CPU device."""
