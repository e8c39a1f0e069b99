"""Local models: the Hugging Face cache, configs, weight files, sizes. Imports no mlx."""
