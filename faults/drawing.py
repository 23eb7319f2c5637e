"""Draws docs/explanation/faults.svg: delays until refusal, and answers during an outage.

It follows the reader's light or dark colour scheme.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from faults.experiments import Lab, Moment

_WIDTH, _LEFT, _RIGHT = 900, 250, 20
_ROW, _BAR = 46, 30
#: The delays' axis, logarithmic: from a millisecond to two seconds.
_LEAST, _MOST, _BINS = 0.001, 2.0, 66
_TICKS = {0.001: "1 ms", 0.01: "10 ms", 0.1: "100 ms", 1.0: "1 s: promised"}
#: The drawing's class of an answer, by its reason; other reasons are refusals.
_KINDS = {"allowed": "allowed", "stale": "stale", "no answer": "silent"}
_LEGEND = {"allowed": "allowed", "refused": "refused", "stale": "503 stale"}

_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.head { font-weight: 600; font-size: 15px; }
.faint { fill: #656d76; font-size: 12px; }
.ground { fill: #eaeef2; }
.delay { fill: #2f6feb; }
.allowed { fill: #1a7f5a; }
.refused { fill: #8c959f; }
.stale { fill: #d4a72c; }
.silent { fill: #bc4c00; }
.tick { stroke: #656d76; stroke-width: 1; stroke-dasharray: 2 4; }
.promise { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .faint { fill: #9198a1; }
  .ground { fill: #262c36; }
  .delay { fill: #5f9bff; }
  .allowed { fill: #3fb68b; }
  .refused { fill: #6e7681; }
  .stale { fill: #e3b341; }
  .silent { fill: #f0883e; }
  .tick { stroke: #9198a1; }
  .promise { stroke: #f0883e; }
}"""


def svg(lab: Lab) -> str:
    """Draw what *lab* recorded: each verifier's delays, then the timeline of the outage."""
    delays = list(_delays(lab.delays, 60))
    top = 60 + _ROW * len(lab.delays) + 70
    timeline = list(_timeline(lab.timeline, lab.marks, top + 60))
    height = top + 60 + _ROW * len({moment.lane for moment in lab.timeline}) + 50
    drawn = "\n".join(
        [
            _text(_RIGHT, 24, "From a deactivation's 200 to its first refusal elsewhere", "head"),
            *delays,
            _text(_RIGHT, top, "PostgreSQL down for longer than MAX_STALENESS", "head"),
            *timeline,
        ]
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">
<title>Delays until deactivated tokens are refused, and answers during an outage</title>
<style>
{_STYLE}
</style>
{drawn}
</svg>
"""


def _delays(delays: Mapping[str, Sequence[float]], top: int) -> Iterator[str]:
    bottom = top + _ROW * len(delays)
    for seconds, name in _TICKS.items():
        x = _x_of_delay(seconds)
        kind = "promise" if seconds == 1.0 else "tick"
        anchor = "middle" if seconds < 1.0 else "end"
        yield f'<text class="faint" x="{x}" y="{top - 12}" text-anchor="{anchor}">{name}</text>'
        yield f'<line class="{kind}" x1="{x}" y1="{top - 6}" x2="{x}" y2="{bottom}"/>'
    for at, (name, values) in enumerate(delays.items()):
        base = top + _ROW * at + _BAR
        furthest = f"at most {max(values, default=0) * 1000:.0f} ms"
        yield _text(_RIGHT, base - 12, name)
        yield _text(_RIGHT, base + 3, f"{len(values):,} tokens, {furthest}", "faint")
        bins = [0] * _BINS
        for value in values:
            bins[min(_BINS - 1, int(_share(value) * _BINS))] += 1
        highest = max(bins) or 1
        width = (_WIDTH - _LEFT - _RIGHT) / _BINS
        for number, many in enumerate(bins):
            if many:
                # At least 1.5 high, so that a single token is visible.
                tall = max(1.5, many / highest * _BAR)
                yield (
                    f'<rect class="delay" x="{_LEFT + number * width:.1f}" y="{base - tall:.1f}" '
                    f'width="{width - 1:.1f}" height="{tall:.1f}"/>'
                )


def _timeline(timeline: Sequence[Moment], marks: Mapping[str, float], top: int) -> Iterator[str]:
    if not timeline:
        return
    first, last = min(each.at for each in timeline), max(each.at for each in timeline)

    def x(at: float) -> float:
        return _LEFT + (at - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    lanes = list(dict.fromkeys(each.lane for each in timeline))
    for at, lane in enumerate(lanes):
        y = top + _ROW * at
        node, _, about = lane.partition(", ")
        yield _text(_RIGHT, y + 12, node)
        yield _text(_RIGHT, y + 27, about, "faint")
        moments = [each for each in timeline if each.lane == lane]
        runs = [
            (kind, [each.at for each in run])
            for kind, run in groupby(moments, lambda each: _KINDS.get(each.answer, "refused"))
        ]
        for number, (kind, times) in enumerate(runs):
            end = runs[number + 1][1][0] if number + 1 < len(runs) else times[-1]
            yield (
                f'<rect class="{kind}" x="{x(times[0]):.1f}" y="{y}" '
                f'width="{x(end) - x(times[0]):.1f}" height="{_BAR}"/>'
            )
    bottom = top + _ROW * len(lanes) - 6
    for number, (name, moment) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
        height = top - 8 - 15 * (len(marks) - 1 - number)
        left = round(x(moment), 1)
        yield f'<line class="promise" x1="{left}" y1="{height}" x2="{left}" y2="{bottom}"/>'
        when = "" if moment == 0 else f" ({moment:.1f} s)"
        # Right of the middle, the text goes to the left of its line.
        side = "start" if left < _WIDTH / 2 else "end"
        beside = left + 5 if side == "start" else left - 5
        yield _text(beside, height + 4, name + when, "faint", side)
    for number, (kind, name) in enumerate(_LEGEND.items()):
        start = _LEFT + number * 110
        yield f'<rect class="{kind}" x="{start}" y="{bottom + 16}" width="12" height="12"/>'
        yield _text(start + 18, bottom + 26, name, "faint")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _share(seconds: float) -> float:
    """A delay's position on the axis, from 0 to 1."""
    bounded = min(max(seconds, _LEAST), _MOST)
    return math.log(bounded / _LEAST) / math.log(_MOST / _LEAST)


def _x_of_delay(seconds: float) -> int:
    return round(_LEFT + _share(seconds) * (_WIDTH - _LEFT - _RIGHT))
