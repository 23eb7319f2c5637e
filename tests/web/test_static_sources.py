"""Static files as they are sent: nothing but comments and indentation is missing."""

import re
from importlib.resources import files

import pytest

from gatepass.web.static_sources import BUNDLE, imported, minified, served

SOURCES = {
    each.name: each.read_bytes()
    for each in (files("gatepass.web.pages") / "static").iterdir()
    if each.is_file()
}
SERVED = served(SOURCES)
SCRIPTS = {name: text.decode() for name, text in SERVED.items() if name.endswith(".js")}


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith(".js")])
def test_no_text_of_a_script_goes_over_lines(name: str) -> None:
    """Else its indentation would be lost, or a line of it that begins like a comment."""
    for line in SOURCES[name].decode().splitlines():
        assert line.replace("\\`", "").count("`") % 2 == 0, line
        assert "/*" not in line, line


def test_comments_and_indentation_are_left_out() -> None:
    for name, text in SCRIPTS.items():
        assert not re.search(r"^(\s|//)", text, re.MULTILINE), name
    css = SERVED["gatepass.css"].decode()
    assert "/*" not in css
    assert "\n" not in css
    assert 'content:""' in css


def test_a_style_sheet_keeps_the_spaces_that_count() -> None:
    source = b"""/* one */ @layer a { /* two */
      .x :focus, .x:hover > b { --gap: calc(1px + 2px); font: 600 13px/20px "A B", serif; }
    }"""
    assert minified("a.css", source) == (
        b'@layer a{.x :focus,.x:hover > b{--gap:calc(1px + 2px);font:600 13px/20px "A B",serif}}'
    )


def test_every_import_leads_to_a_script_that_is_sent() -> None:
    for name, text in SERVED.items():
        if name.endswith(".js"):
            assert set(imported(text)) <= set(SCRIPTS), name
            assert imported(text) == re.findall(r'"\./([\w.-]+\.js)"', text.decode()), name
    assert imported(SERVED[BUNDLE]) == []
    # What the others import from it.
    exported = re.findall(r"^export (?:async )?(?:function|const) (\w+)", SCRIPTS[BUNDLE], re.M)
    taken = re.findall(
        rf'^import \{{ (.*) \}} from "\./{BUNDLE}";', "\n".join(SCRIPTS.values()), re.M
    )
    assert {name for names in taken for name in names.split(", ")} <= set(exported)
    assert "times.js" not in SCRIPTS


def test_other_files_are_sent_as_they_are() -> None:
    assert SERVED["mark.svg"] == SOURCES["mark.svg"]
