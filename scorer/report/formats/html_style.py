"""Colours and style of the page, for light and for dark screens.

Every pair of text and background has a contrast of 4.5 at least. The scale of KL differs in
lightness throughout, the series are of the palette of Okabe and Ito, so that both serve people who
see fewer colours. Colour is never the only sign. Pure standard library.
"""

from __future__ import annotations

from collections.abc import Mapping

LEVELS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""KL in nats at which the next level begins: half decades around the bounds of the verdicts."""

Pair = tuple[str, str]
"""Background and text."""

PAPER: Mapping[str, Pair] = {"light": ("#ffffff", "#1b1f24"), "dark": ("#14171c", "#e6e8eb")}
CARD: Mapping[str, Pair] = {"light": ("#f5f6f8", "#1b1f24"), "dark": ("#1d2128", "#e6e8eb")}
MUTED: Mapping[str, str] = {"light": "#555c66", "dark": "#a9b1bc"}
RULE: Mapping[str, str] = {"light": "#d4d8dd", "dark": "#3a414b"}

KL: Mapping[str, tuple[Pair, ...]] = {
    "light": (
        ("#ffffff", "#1b1f24"),
        ("#fff4e6", "#1b1f24"),
        ("#fee3c4", "#1b1f24"),
        ("#fdcc97", "#1b1f24"),
        ("#fdae61", "#1b1f24"),
        ("#f0822f", "#14110d"),
        ("#a63b04", "#ffffff"),
        ("#5c1d05", "#ffffff"),
    ),
    "dark": (
        ("#14171c", "#e6e8eb"),
        ("#2a2118", "#f1ece6"),
        ("#42301b", "#f6eee4"),
        ("#5f421d", "#fdf3e6"),
        ("#7d531a", "#ffffff"),
        ("#c47a22", "#100b05"),
        ("#f5a947", "#100b05"),
        ("#ffe3b3", "#100b05"),
    ),
}
VERDICTS: Mapping[str, Mapping[str, Pair]] = {
    "light": {
        "good": ("#d3efe2", "#0a5238"),
        "marginal": ("#fdebc8", "#654000"),
        "bad": ("#fbd9cf", "#822200"),
        "none": ("#e4e7eb", "#3c434c"),
    },
    "dark": {
        "good": ("#0f3d2c", "#a5ecce"),
        "marginal": ("#4a3608", "#ffdf9c"),
        "bad": ("#571d0c", "#ffc9b8"),
        "none": ("#333a44", "#d3d8de"),
    },
}
SERIES: Mapping[str, tuple[str, ...]] = {
    "light": ("#0072b2", "#c24f00", "#00805e", "#9e3f86", "#555c66"),
    "dark": ("#56b4e9", "#f28f4f", "#3cc9a0", "#e39bc4", "#c3c9d1"),
}
MARKS: Mapping[str, Mapping[str, str]] = {
    "light": {"good": "#00805e", "marginal": "#a66a00", "bad": "#c24f00"},
    "dark": {"good": "#3cc9a0", "marginal": "#f0c040", "bad": "#f28f4f"},
}


def _variables(theme: str) -> str:
    values = {
        "paper": PAPER[theme][0],
        "ink": PAPER[theme][1],
        "card": CARD[theme][0],
        "muted": MUTED[theme],
        "rule": RULE[theme],
        **{f"s{i}": colour for i, colour in enumerate(SERIES[theme])},
        **{f"m-{name}": colour for name, colour in MARKS[theme].items()},
    }
    for i, (under, ink) in enumerate(KL[theme]):
        values |= {f"k{i}": under, f"k{i}t": ink}
    for name, (under, ink) in VERDICTS[theme].items():
        values |= {f"v-{name}": under, f"v-{name}t": ink}
    return "".join(f"--{name}:{value};" for name, value in values.items())


def style_sheet() -> str:
    """The style sheet of the page."""
    levels = "".join(
        f".k{i}{{background:var(--k{i});color:var(--k{i}t)}}" for i in range(len(LEVELS) + 1)
    )
    badges = "".join(
        f".v-{name}{{background:var(--v-{name});color:var(--v-{name}t)}}"
        for name in VERDICTS["light"]
    )
    series = "".join(
        f"svg .s{i}{{stroke:var(--s{i})}}svg .d{i}{{fill:var(--s{i})}}"
        for i in range(len(SERIES["light"]))
    )
    marks = "".join(
        f"svg .m-{name}{{fill:var(--m-{name});stroke:var(--m-{name})}}" for name in MARKS["light"]
    )
    light, dark = _variables("light"), _variables("dark")
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{_REST}{levels}{badges}{series}{marks}"
    )


_REST = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;
overflow-wrap:break-word;-webkit-text-size-adjust:100%}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 16px}
h1{font-size:1.55rem;line-height:1.25;margin:1.2em 0 .4em}
h2{font-size:1.25rem;line-height:1.3;margin:2.2em 0 .5em;padding-top:.6em;
border-top:1px solid var(--rule)}
h3{font-size:1.02rem;margin:1.3em 0 .4em}
h4,h5{font-size:.95rem;margin:1.1em 0 .3em}
p,ul{margin:.5em 0}
.note,figcaption{color:var(--muted);font-size:.875rem}
code,pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.92em}
pre{background:var(--card);padding:10px 12px;overflow-x:auto;border-radius:6px}
blockquote,.call{margin:.7em 0;padding:.5em .9em;background:var(--card);
border-left:4px solid var(--muted);border-radius:0 6px 6px 0}
.call{border-color:var(--s0)}
.call p,blockquote p{margin:.25em 0}
.wide{overflow-x:auto;max-width:100%;margin:.6em 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.32em .65em;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top;
white-space:nowrap}
th{font-weight:600}
.n{text-align:right}
.first th:first-child,.first td:first-child{position:sticky;left:0;background:var(--paper)}
.cell{min-width:9.5em;white-space:normal}
.badge{display:inline-block;padding:0 .5em;border-radius:4px;font-weight:600;white-space:nowrap}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:12px}
figure{margin:0;max-width:560px;
padding:10px 12px;background:var(--card);border-radius:8px;min-width:0}
figure h3{margin:.1em 0 .3em}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--ink);font:12px system-ui,sans-serif;stroke:none}
svg .mid{text-anchor:middle}svg .end{text-anchor:end}
svg .grid{stroke:var(--rule);stroke-width:1}
svg .line{fill:none;stroke-width:2}
svg .err{stroke:var(--muted);stroke-width:1.5;fill:none}
svg .front{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 4;fill:none}
svg .bound{stroke:var(--ink);stroke-width:1;stroke-dasharray:2 3;fill:none}
svg .p1{stroke-dasharray:7 3}svg .p2{stroke-dasharray:2 3}
svg .p3{stroke-dasharray:9 3 2 3}svg .p4{stroke-dasharray:4 2}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15em 1.1em;margin:.4em 0 0;padding:0;
font-size:.875rem}
.legend svg{display:inline-block;width:34px;height:12px;vertical-align:middle;margin-right:.35em}
.strip{margin:.7em 0}
.strip .head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1em;font-size:.9rem}
.strip .plot{display:flex;gap:6px;align-items:stretch}
.strip .scale{display:flex;flex-direction:column;justify-content:space-between;width:4.2em;
text-align:right;font-size:.75rem;line-height:1;color:var(--muted)}
.strip svg{height:64px;background:var(--card);overflow:hidden}
svg .base{stroke:var(--ink);stroke-width:1;vector-effect:non-scaling-stroke}
svg .most{fill:var(--s0);opacity:.38}svg .mean{fill:var(--s0)}
.passage{background:var(--paper);border:1px solid var(--rule);border-radius:8px;
padding:.7em .9em;margin:.7em 0}
.text{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;font-family:ui-monospace,Menlo,
Consolas,monospace;font-size:.92rem;margin:.4em 0}
.text span{border-radius:3px;padding:.12em 0}
.f{text-decoration:underline wavy;text-underline-offset:3px;text-decoration-thickness:1px}
.text .w{outline:2px solid var(--s0);outline-offset:1px;font-weight:700}
.levels span{display:inline-block;padding:.1em .55em;border-radius:3px;margin:0 2px 2px 0;
font-size:.85rem}
details{margin:.6em 0}
summary{cursor:pointer;padding:.35em 0}
footer{padding-top:1.5em;padding-bottom:3em}
@media(max-width:560px){body{font-size:15px}header,main,footer{padding:0 12px}
figure{padding:8px}th,td{padding:.3em .5em}}
@media print{details>*{display:block}.wide{overflow:visible}}
"""
