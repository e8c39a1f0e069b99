"""``python -m qfid_tui.screenshots MODEL``: screenshots of the app with a real model."""

from __future__ import annotations

import sys

from qfid_tui.tools.screenshots import main

if __name__ == "__main__":
    sys.exit(main())
