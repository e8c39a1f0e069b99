"""The keys of the workbench. The first frame imports this module."""

from __future__ import annotations

from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding("question_mark", "help", "Help", id="workbench.help", tooltip="Keys and numbers"),
    Binding("r", "run", "Run", id="workbench.run", tooltip="Score what is ticked, or go on"),
    Binding("x", "stop", "Stop", id="workbench.stop", tooltip="Stop; what is scored is kept"),
    Binding("space", "tick", "Tick", id="workbench.tick", tooltip="Score the setting, or not"),
    Binding("d", "detail", "Detail", id="workbench.detail", tooltip="One setting in charts"),
    Binding("i", "inspect", "Inspect", id="workbench.inspect", tooltip="The text, token by token"),
    Binding("e", "export", "Export", id="workbench.export", tooltip="Write the report"),
    Binding("y", "copy", "Copy", id="workbench.copy", tooltip="Copy the command that uses it"),
    Binding(
        "plus",
        "more_chunks",
        "More",
        key_display="+",
        id="workbench.more",
        tooltip="Add chunks to the run: only these are scored",
    ),
    Binding("m", "show('models')", "Models", id="workbench.models", tooltip="Choose a model"),
    Binding(
        "o", "show('options')", "Options", id="workbench.options", tooltip="Text, chunks, group"
    ),
    Binding("s", "show('settings')", "Settings", id="workbench.settings", tooltip="The settings"),
    Binding("a", "add", "Add", id="workbench.add", tooltip="Add a setting such as k8v4"),
    Binding(
        "number_sign",
        "grid",
        "Grid",
        key_display="#",
        id="workbench.grid",
        tooltip="Weights × KV cache: what to run in a memory",
    ),
    Binding("p", "pairs", "Pairs", id="workbench.pairs", tooltip="Weights with each KV, or alone"),
    Binding("t", "history", "History", id="workbench.history", tooltip="Earlier runs of the model"),
    Binding("J", "joined", "Texts", id="workbench.joined", tooltip="Several texts side by side"),
    Binding("u", "resume", "Unfinished", id="workbench.resume", tooltip="Open the unfinished run"),
    Binding("slash", "filter", "Filter", id="workbench.filter", tooltip="Filter the models"),
    Binding("v", "sort", "Sort", id="workbench.sort", tooltip="Models by last use, size or name"),
    Binding("z", "zoom", "Zoom", id="workbench.zoom", tooltip="Enlarge the panel, or not"),
    Binding("f", "flips", "Strips", id="workbench.strips", tooltip="Strips: KL, flips, or both"),
    Binding(
        "w", "scale", "Scale", id="workbench.scale", tooltip="One scale for all strips, or not"
    ),
    Binding("c", "chart", "Chart", id="workbench.chart", tooltip="The next chart"),
    Binding("escape", "back", "Back", show=False, id="workbench.back", tooltip="Settings"),
]

FOOTER = (
    "workbench.help",
    "filter.choose",
    "filter.leave",
    "workbench.back",
    "models.choose",
    "workbench.sort",
    "options.more",
    "options.type",
    "workbench.run",
    "workbench.stop",
    "workbench.tick",
    "workbench.detail",
    "workbench.inspect",
    "workbench.export",
    "workbench.more",
    "app.quit",
    "workbench.grid",
    "workbench.models",
    "workbench.options",
    "workbench.add",
    "workbench.history",
    "workbench.zoom",
    "workbench.strips",
)
"""Ids of the bindings that the footer shows, as many as fit, the most important first."""
