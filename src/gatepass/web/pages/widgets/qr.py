"""A QR code as the path of an inline SVG, which needs no request and no inline style."""

from dataclasses import dataclass

import segno

#: The quiet zone that the standard requires, in modules.
_BORDER = 4


@dataclass(frozen=True)
class Picture:
    """A square of *size* modules, with the dark ones as an SVG path."""

    size: int
    path: str


def qr_code(text: str) -> Picture:
    """The QR code of *text*."""
    # Each run of dark modules in a row is one stroke of a module's height.
    rows = [bytes(row) for row in segno.make_qr(text, error="m").matrix]
    strokes = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            length = next((n for n, dark in enumerate(row[x:]) if not dark), len(row) - x)
            if length:
                strokes.append(f"M{x + _BORDER} {y + _BORDER}h{length}v1h-{length}z")
            x += length or 1
    return Picture(len(rows) + 2 * _BORDER, "".join(strokes))
