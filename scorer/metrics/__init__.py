"""Two rows of logits into scalars: the definition and its fast ways."""
