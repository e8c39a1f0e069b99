"""Pictures made of text: scales, bars, scatter, strips, tokens. Values in, lines out."""
