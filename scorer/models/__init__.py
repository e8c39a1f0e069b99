"""Which models are here: the cache, configs, weight files, sizes. Imports no mlx."""
