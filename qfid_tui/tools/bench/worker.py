"""Measures the app in its terminal: ``worker STATE RECORDING RESULT CHUNKS``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from qfid_tui.tools.bench.measured_app import MeasuredApp

_SETTLE, _SECONDS = 1.5, 6.0


class _Worker(MeasuredApp):
    state = ""
    result = Path()

    def on_ready(self) -> None:
        self.run_worker(self._measure(), exit_on_error=True)

    async def _measure(self) -> None:
        await self.wait_until(lambda: self.is_ready)
        screen = self.workbench
        if self.state != "idle":
            screen.action_run()
            await self.wait_until(lambda: self.comparison.phase == "scoring")
        if self.state == "hidden":
            screen.action_zoom()
        await self._sleep(_SETTLE)
        paints, cpu, start = self.paints, time.process_time(), time.perf_counter()
        await self._sleep(_SECONDS)
        seconds = time.perf_counter() - start
        share = (time.process_time() - cpu) / seconds
        found = {"share": share, "paints": (self.paints - paints) / seconds}
        self.result.write_text(json.dumps(found))
        self.kill_children()
        self.exit(0)

    async def _sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


def main() -> int:
    """Run the app; return the exit code."""
    state, recording, result, chunks = sys.argv[1:]
    app = _Worker(Path(recording), int(chunks), 1.0)
    app.state, app.result = state, Path(result)
    code = app.run()
    return 1 if code is None else code


if __name__ == "__main__":
    sys.exit(main())
