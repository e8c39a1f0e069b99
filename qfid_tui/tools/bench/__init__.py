"""Measures the speed of the app against its targets: ``python -m qfid_tui.bench``.

Nothing is scored: the runs are synthetic. Timings are minima or percentiles of repeated rounds, and
are unreliable on a busy machine.
"""
