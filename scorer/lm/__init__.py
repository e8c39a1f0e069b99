"""A model of mlx-lm made ready to score: loaded, split, its caches, its functions replaced."""
