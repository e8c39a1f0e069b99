"""Statistics of scored positions: summaries, intervals, pairs, verdicts. Imports no mlx."""
