"""How far scoring is from its floor: ``python -m scorer.bench``."""
