"""The keys of the grid of weights and KV settings."""

from __future__ import annotations

from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding("question_mark", "help", "Help", id="grid.help", tooltip="Keys and numbers"),
    Binding("escape", "back", "Back", id="grid.back", tooltip="Back to the workbench"),
    Binding("m", "memory", "Memory", id="grid.memory", tooltip="Type the memory there is"),
    Binding(
        "minus", "step_memory(-1)", "Less", key_display="-", id="grid.less", tooltip="Less memory"
    ),
    Binding(
        "plus,equals_sign",
        "step_memory(1)",
        "More",
        key_display="+",
        id="grid.more",
        tooltip="More memory",
    ),
    Binding("c", "context", "Context", id="grid.context", tooltip="Type the tokens of a sequence"),
    Binding(
        "left_square_bracket",
        "step_context(-1)",
        "Shorter",
        key_display="[",
        id="grid.shorter",
        tooltip="A shorter context",
    ),
    Binding(
        "right_square_bracket",
        "step_context(1)",
        "Longer",
        key_display="]",
        id="grid.longer",
        tooltip="A longer context",
    ),
    Binding("v", "device", "Device", id="grid.device", tooltip="Metal, CUDA or CPU"),
    Binding("p", "parallel", "Sequences", id="grid.parallel", tooltip="1, 2, 4 or 8 sequences"),
    Binding("i", "inspect", "Inspect", id="grid.inspect", tooltip="The text, token by token"),
    Binding("e", "export", "Export", id="grid.export", tooltip="Write the report, grid included"),
    Binding("y", "copy", "Copy", id="grid.copy", tooltip="Copy the commands that run the choice"),
    Binding("f", "number", "Number", id="grid.number", tooltip="In each cell KL, bytes or flips"),
    Binding("z", "zoom", "Zoom", id="grid.zoom", tooltip="Enlarge the panel, or not"),
]

FOOTER = (
    "grid.help",
    "grid.back",
    "grid.detail",
    "grid.inspect",
    "grid.memory",
    "grid.context",
    "grid.export",
    "grid.copy",
    "grid.number",
    "grid.device",
    "grid.parallel",
    "grid.zoom",
)
"""Ids of the bindings that the footer shows, the most important first."""
