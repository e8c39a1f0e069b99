"""``python -m scorer.bench``: how far scoring is from its floor."""

from __future__ import annotations

import sys

from scorer.bench.scoring import main

if __name__ == "__main__":
    sys.exit(main())
