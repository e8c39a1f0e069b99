"""Text graphics from values: scales, bars, scatter plots, sparkline strips, tokens."""
