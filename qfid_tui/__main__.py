"""``python -m qfid_tui``: the same as ``qfid``."""

from __future__ import annotations

import sys

from qfid_tui import leave_out_working_folder

if __name__ == "__main__":
    leave_out_working_folder()
    from qfid_tui.cli.command_line import main

    sys.exit(main())
