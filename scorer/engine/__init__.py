"""A job carried out: prepared, scored batch by batch, saved, reported."""
