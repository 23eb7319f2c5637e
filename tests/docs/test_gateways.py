"""The pages of docs/how-to/gateways."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.gateways.every import GATEWAYS
from tests.support.gateways.probes import IDENTITY

PAGES = {
    page.stem: page.read_text()
    for page in sorted((Path(__file__).parents[2] / "docs/how-to/gateways").glob("*.md"))
}
#: Those that no registry has: nginx does what they do by their source.
STOOD_IN_FOR = {"apisix", "ingress-nginx", "kong"}


def test_each_page_says_whether_its_gateway_is_run() -> None:
    assert PAGES.keys() == {name.partition(", ")[0] for name in GATEWAYS}
    for name, page in PAGES.items():
        assert ("No test runs" in page.split("\n\n")[1]) == (name in STOOD_IN_FOR)
        assert ("A test runs the configuration below as it stands" in page) == (
            name not in STOOD_IN_FOR
        )


@pytest.mark.parametrize("name", [name for name in GATEWAYS if ", " in name])
def test_a_variation_says_that_it_is_run(name: str) -> None:
    page, _, heading = name.partition(", ")
    section = PAGES[page].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert "A test runs the result as it stands" in section


@pytest.mark.parametrize("name", PAGES)
def test_its_blocks_of_yaml_can_be_read(name: str) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```$", PAGES[name], re.S | re.M):
        assert all(yaml.safe_load_all(block))


@pytest.mark.parametrize("name", PAGES)
def test_it_passes_on_all_headers_that_name_the_caller(name: str) -> None:
    """By their names, or by what they begin with."""
    blocks = "".join(re.findall(r"^```\w+\n(.*?)^```$", PAGES[name].lower(), re.S | re.M))
    beginnings = ("{prefix: x-gatepass-}", "(?i)^x-gatepass-|")
    assert any(each in blocks for each in beginnings) or all(
        f"x-gatepass-{each}" in blocks for each in IDENTITY
    )
