"""Every link in the documentation has a target, and every page is linked."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def _prose(page: Path) -> str:
    """The text of *page* without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.S | re.M)


def _anchors(page: Path) -> set[str]:
    """The anchors of *page*'s headings, as GitHub generates them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+)$", _prose(page), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {
        slug if not n else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)
    }


def _targets(page: Path) -> list[tuple[str, Path, str]]:
    """The relative links of *page*: text, file, anchor."""
    links = [a or b for a, b in _LINK.findall(_prose(page))]
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    return [
        (link, (page.parent / path).resolve() if path else page, anchor)
        for link in relative
        for path, _, anchor in [link.partition("#")]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_has_a_target(page: Path) -> None:
    for link, target, anchor in _targets(page):
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in _anchors(target), link


def test_every_page_is_reachable_from_the_index() -> None:
    reached = {ROOT / "docs/index.md"}
    queue = list(reached)
    while queue:
        for _, target, _ in _targets(queue.pop()):
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                queue.append(target)
    assert set(PAGES) - reached - {ROOT / "README.md"} == set()
