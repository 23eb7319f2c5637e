"""Draws docs/explanation/figures.svg: each ratio against its bar, in light and dark colours."""

from collections.abc import Sequence
from html import escape

from benchmarks.figures import Figure

_WIDTH, _ROW, _TOP = 900, 46, 34
_LEFT, _RIGHT = 20, 190
#: The axis ends at this many times the bar; longer bars are cut off.
_FURTHEST = 2.5

_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.number { font-weight: 600; }
.faint { fill: #656d76; font-size: 12px; }
.ground { fill: #eaeef2; }
.met { fill: #1a7f5a; }
.missed { fill: #bc4c00; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
.promise { stroke: #656d76; stroke-width: 1.5; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .faint { fill: #9198a1; }
  .ground { fill: #262c36; }
  .met { fill: #3fb68b; }
  .missed { fill: #f0883e; }
  .spread { stroke: #e6edf3; }
  .promise { stroke: #9198a1; }
}"""


def svg(figures: Sequence[Figure]) -> str:
    """Draw *figures*, one row each; a bar that reaches the dashed line meets its promise."""
    height = _TOP + _ROW * len(figures) + 10
    promise = _x(1.0)
    rows = "\n".join(_row(figure, _TOP + _ROW * at) for at, figure in enumerate(figures))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">
<title>Measured and promised ratios</title>
<style>
{_STYLE}
</style>
<text class="faint" x="{promise}" y="18" text-anchor="middle">promised</text>
<line class="promise" x1="{promise}" y1="24" x2="{promise}" y2="{height - 6}"/>
{rows}
</svg>
"""


def _row(figure: Figure, top: int) -> str:
    kept = [_kept(figure, ratio) for ratio in (figure.ratio, *figure.ratios)]
    end, low, high = _x(kept[0]), _x(min(kept)), _x(max(kept))
    bar, middle, right = top + 22, top + 28, _WIDTH - _RIGHT + 14
    colour = "met" if figure.met else "missed"
    promise = f"promised {figure.bar_text}, rounds {figure.spread_text}"
    number = figure.ratio_text if figure.unit else f"{figure.ratio_text} ×"
    return f"""\
<text x="{_LEFT}" y="{top + 15}">{escape(figure.name)}</text>
<rect class="ground" x="{_LEFT}" y="{bar}" width="{_x(_FURTHEST) - _LEFT}" height="12" rx="2"/>
<rect class="{colour}" x="{_LEFT}" y="{bar}" width="{end - _LEFT}" height="12" rx="2"/>
<line class="spread" x1="{low}" y1="{middle}" x2="{high}" y2="{middle}"/>
<text class="number" x="{right}" y="{top + 15}">{number}</text>
<text class="faint" x="{right}" y="{bar + 11}">{escape(promise)}</text>"""


def _kept(figure: Figure, ratio: float) -> float:
    """How far a promise is met: 1 is exactly, more is better, also for upper bounds."""
    return figure.bar / ratio if figure.at_most else ratio / figure.bar


def _x(kept: float) -> int:
    return _LEFT + round((_WIDTH - _RIGHT - _LEFT) * min(kept, _FURTHEST) / _FURTHEST)
