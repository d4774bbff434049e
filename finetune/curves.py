"""Small panels of curves as one SVG file that is readable on light and on dark paper, without a plotting library.

panels("Robustness", [Panel("noise", ("0", "1"), (Curve("change", (0.8, 0.7)),))])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDE, HIGH = 214, 150
"""Size of one panel's plot in pixels."""
LEFT, TOP, GAP_X, GAP_Y = 44, 74, 34, 58
ACROSS = 4
STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 11px; }
.paper { fill: #ffffff } text { fill: #1c2126 } .quiet { fill: #545e6a } .grid { stroke: #dfe3e8 } .chance { stroke: #7a8592 }
.s0 { --c: #14707f } .s1 { --c: #a05a00 } .s2 { --c: #8a3fa0 } .s3 { --c: #a8241a }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0e1013 } text { fill: #e9ebee } .quiet { fill: #a4adb8 } .grid { stroke: #262c33 } .chance { stroke: #7f8a97 }
  .s0 { --c: #5fc6d8 } .s1 { --c: #e6b873 } .s2 { --c: #cf9be0 } .s3 { --c: #f58d84 }
}
.grid, .chance { stroke-width: 1; fill: none } .chance { stroke-dasharray: 3 3 }
.line { stroke: var(--c); stroke-width: 2; fill: none; stroke-linejoin: round } .dot { fill: var(--c) }
.band { fill: var(--c); opacity: 0.16 } .key { fill: var(--c) } .title { font-size: 15px; font-weight: 600 } .name { font-weight: 600 }
""".strip()


@dataclass(frozen=True)
class Curve:
    """Values 0..1 over a panel's ticks, NaN where there is none, with their intervals or without; `colour` 0 to 3."""

    name: str
    values: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    colour: int = 0


@dataclass(frozen=True)
class Panel:
    """One plot: its name, the ticks' labels, its curves, and a dashed line at chance (NaN: none)."""

    name: str
    ticks: Sequence[str]
    curves: Sequence[Curve]
    chance: float = math.nan
    unit: str = ""


def panels(title: str, plots: Sequence[Panel], note: str = "") -> str:
    """The SVG's text: `plots` four a row, a legend of every curve's name above them."""
    across = min(ACROSS, max(1, len(plots)))
    rows = -(-len(plots) // across)
    width, height = LEFT + across * (WIDE + GAP_X), TOP + rows * (HIGH + GAP_Y) + 8
    inside = [
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<text class="quiet" x="12" y="42">{escape(note)}</text>',
        *_legend(plots),
    ]
    for number, plot in enumerate(plots):
        left, top = LEFT + number % across * (WIDE + GAP_X), TOP + 20 + number // across * (HIGH + GAP_Y)
        inside.append(f'<g transform="translate({left} {top})">{"".join(_panel(plot))}</g>')
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
    return head + "\n".join(inside) + "</svg>\n"


def _legend(plots: Sequence[Panel]) -> list[str]:
    names = dict.fromkeys((curve.name, curve.colour) for plot in plots for curve in plot.curves)
    out, left = [], 12
    for name, colour in names:
        out.append(f'<g class="s{colour}"><rect class="key" x="{left}" y="53" width="14" height="4" rx="2"/></g>')
        out.append(f'<text x="{left + 19}" y="59">{escape(name)}</text>')
        left += 34 + 6 * len(name)
    return out


def _at(plot: Panel, index: int, value: float) -> tuple[float, float]:
    return round(index * WIDE / max(1, len(plot.ticks) - 1), 1), round((1 - min(max(value, 0.0), 1.0)) * HIGH, 1)


def _panel(plot: Panel) -> list[str]:
    out = [f'<text class="name" x="0" y="-9">{escape(plot.name)}</text>']
    for share in (0.0, 0.5, 1.0):
        _, y = _at(plot, 0, share)
        out.append(f'<path class="grid" d="M0 {y}H{WIDE}"/><text class="quiet" x="-7" y="{y + 4}" text-anchor="end">{share:.1f}</text>')
    if not math.isnan(plot.chance):
        out.append(f'<path class="chance" d="M0 {_at(plot, 0, plot.chance)[1]}H{WIDE}"/>')
    for index, tick in enumerate(plot.ticks):
        x, _ = _at(plot, index, 0)
        out.append(f'<text class="quiet" x="{x}" y="{HIGH + 15}" text-anchor="middle">{escape(tick)}</text>')
    out.append(f'<text class="quiet" x="{WIDE / 2}" y="{HIGH + 29}" text-anchor="middle">{escape(plot.unit)}</text>')
    return [*out, *(part for curve in plot.curves for part in _curve(plot, curve))]


def _curve(plot: Panel, curve: Curve) -> list[str]:
    known = [index for index, value in enumerate(curve.values) if not math.isnan(value)]
    points = [_at(plot, index, curve.values[index]) for index in known]
    out = [f'<circle class="dot" cx="{x}" cy="{y}" r="2.6"/>' for x, y in points]
    out.insert(0, f'<path class="line" d="{_path(points)}"/>')
    banded = [index for index in known if curve.lows and not math.isnan(curve.lows[index]) and not math.isnan(curve.highs[index])]
    if len(banded) > 1:
        edge = [_at(plot, index, curve.highs[index]) for index in banded] + [_at(plot, index, curve.lows[index]) for index in banded[::-1]]
        out.insert(0, f'<path class="band" d="{_path(edge)}Z"/>')
    return [f'<g class="s{curve.colour}">', *out, "</g>"]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(points))
