"""The README's figures, measured anew and written into it: ``python -m scorer.bench.readme``."""
