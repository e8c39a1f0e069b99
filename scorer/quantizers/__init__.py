"""The arithmetic of the quantizers that the specification describes."""
