"""How fast the app is, measured against its targets: ``python -m qfid_tui.bench``.

Nothing is scored: runs are made up. Timings are minima or percentiles of repeated rounds, and mean
little on a machine that does other things.
"""
