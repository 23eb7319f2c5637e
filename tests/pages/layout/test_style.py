"""Colours of the style sheet have sufficient contrast (WCAG 2.2: 1.4.3 and 1.4.11)."""

import re
from importlib.resources import files

import pytest

_STATIC = files("gatepass.web.pages") / "static"
CSS = (_STATIC / "gatepass.css").read_text("utf-8")
SHEETS = {
    "gatepass.css": CSS[CSS.index("@layer base {") :],
    **{name: (_STATIC / name).read_text("utf-8") for name in ("records.css", "forms.css")},
}
COLOURS = {
    found[1]: (found[2], found[3])
    for found in re.finditer(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS)
}
TEXT_ON = {
    "text": "ground surface sunken hover accent-soft good-soft warn-soft bad-soft",
    "muted": "ground surface sunken hover accent-soft",
    "accent": "ground surface sunken accent-soft warn-soft",
    "accent-strong": "surface accent-soft",
    "on-accent": "accent accent-strong",
    "good": "surface good-soft",
    "warn": "surface warn-soft",
    "bad": "surface hover bad-soft",
    "on-bad": "bad-fill",
}
PAIRS = [(text, ground, 4.5) for text, grounds in TEXT_ON.items() for ground in grounds.split()]
PAIRS += [("control", "surface", 3.0), ("control", "ground", 3.0)]


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
def test_contrast(text: str, ground: str, least: float, scheme: int) -> None:
    light, dark = sorted(luminance(COLOURS[name][scheme]) for name in (text, ground))[::-1]
    assert (light + 0.05) / (dark + 0.05) >= least


@pytest.mark.parametrize("name", SHEETS)
def test_nothing_is_loaded_from_other_hosts(name: str) -> None:
    assert not re.search(r"url\((?!\"[a-z]+\.svg\"\))|@import|https?:", SHEETS[name])


@pytest.mark.parametrize("name", SHEETS)
def test_every_colour_is_a_property(name: str) -> None:
    rules = re.sub(r"light-dark\([^)]*\)", "", SHEETS[name])
    assert re.findall(r"#[0-9a-f]{3,8}\b", rules) == []
