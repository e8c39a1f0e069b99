"""``python -m qfid_tui.replay RECORDING``: plays a recording instead of scoring."""

from __future__ import annotations

from qfid_tui.process.replay import run

if __name__ == "__main__":
    run()
