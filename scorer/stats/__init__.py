"""From scored positions to numbers: summaries, intervals, pairs, verdicts. Imports no mlx."""
