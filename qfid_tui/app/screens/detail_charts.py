"""A setting, and another one that is laid over it, in the charts of the detail screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.histogram import Histogram
from qfid_tui.state.overlay import (
    Overlay,
    chunk_overlay,
    depth_overlay,
    histogram_overlay,
    mean_of,
)

if TYPE_CHECKING:
    from qfid_tui.state.setting_detail import SettingDetail


def show_charts(
    screen: Screen[None], name: str, found: SettingDetail | None, other: SettingDetail | None
) -> None:
    """Show a setting in the charts of the screen.

    Args:
        screen: The screen.
        name: The setting.
        found: What is known of it, or None.
        other: A setting that is laid over it, or None.
    """
    chunks, depth = screen.query_one(ChunkChart), screen.query_one(DepthChart)
    histogram = screen.query_one(Histogram)
    if found is None:
        chunks.show(name, ())
        depth.show(name, ())
        histogram.show(name, (), ())
        return
    mean, counted = mean_of(found), found.histogram
    laid: Overlay | None = None
    laid_chunks: Overlay | None = None
    laid_spans: Overlay | None = None
    if other is not None:
        laid_chunks, laid_spans = chunk_overlay(found, other), depth_overlay(found, other)
        counted, laid = histogram_overlay(found.histogram, other.histogram, other.setting)
    chunks.show(name, found.chunks, mean=mean, other=laid_chunks)
    depth.show(name, found.spans, mean=mean, other=laid_spans)
    histogram.show(
        name,
        counted.edges,
        counted.counts,
        nonpositive=counted.nonpositive,
        infinite=counted.infinite,
        other=laid,
    )
