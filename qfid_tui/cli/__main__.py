"""``python -m qfid_tui.cli``: the same as ``qfid``."""

from __future__ import annotations

import sys

from qfid_tui.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
