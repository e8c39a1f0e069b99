"""Names of the models of the study. Imports no MLX."""

STUDIED = (
    "llama-5m",
    "llama-15m",
    "llama-40m",
    "llama-5m-short",
    "llama-15m-wide",
    "qwen2-15m",
    "gemma3-15m",
)
"""Those of the study; others of :mod:`scorer.bench.verdicts.models` are for tries."""
