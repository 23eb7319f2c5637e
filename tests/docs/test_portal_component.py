"""The page about the component shows the example as it is, and names all that a page can set."""

import re

from gatepass.web.components.module import joined
from tests.docs.test_completeness import ROOT, page

TEXT = page("how-to/portal-component.md")
EXAMPLE = ROOT / "examples" / "portal"


def test_it_shows_the_example_as_it_is() -> None:
    (python,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert f"\n\n{python}\n\n" in (EXAMPLE / "shop.py").read_text()
    script = re.findall(r"```js\n(.*?)```", TEXT, re.S)[0]
    assert script == (EXAMPLE / "pages" / "static" / "account.js").read_text()


def test_it_names_every_property_part_and_event() -> None:
    module = joined()
    for pattern in (r"--gatepass-[a-z-]+", r"gatepass-(?:session|token)-[a-z]+"):
        assert set(re.findall(pattern, module)) - {"gatepass-token-"} <= set(
            re.findall(pattern, TEXT)
        )
    parts = re.findall(r'\bpart: "([\w ]+)"', module)
    assert len(parts) > 10
    named = set(re.findall(r"`([\w]+)`", TEXT.partition("style its parts")[2]))
    assert {each for part in parts for each in part.split()} <= named
    documented = set(re.findall(r"--gatepass-[a-z-]+", TEXT))
    assert {each for each in documented if each not in module} == set()
