"""What is asked, as values: jobs, settings, events, cache geometry. Imports no mlx."""
