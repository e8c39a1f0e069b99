"""``python -m qfid_tui.bench``: measures the speed of the app against its targets."""

from __future__ import annotations

import sys

from qfid_tui.tools.bench.command import main

if __name__ == "__main__":
    sys.exit(main())
