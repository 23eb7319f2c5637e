"""The configuration files that a page in docs shows."""

import re
from pathlib import Path

_DOCS = Path(__file__).parents[3] / "docs/how-to/gateways"
# A block whose first line is a comment with the path of a file.
_file = re.compile(r"^```\w+\n((?:#|--) (?:/[\w.-]+)*?/?([\w.-]+\.\w+|\w+)\n.*?)^```$", re.S | re.M)
_item = re.compile(r"^```yaml\n((\ +- name: \S+\n).*?)^```$", re.S | re.M)


def files(page: str, variation: str = "") -> dict[str, str]:
    """The files on the page of a gateway, by their names without directories.

    Args:
        variation: the heading of a section whose blocks are list items that replace those of the
            same name in the files.
    """
    text = (_DOCS / f"{page}.md").read_text()
    found = {each[2]: each[1] for each in _file.finditer(text)}
    if variation:
        _, _, section = text.partition(f"\n## {variation}\n")
        for item in _item.finditer(section.partition("\n## ")[0]):
            found = {name: _replaced(shown, item[1], item[2]) for name, shown in found.items()}
    return found


def _replaced(text: str, item: str, first: str) -> str:
    deeper = " " * (len(first) - len(first.lstrip()) + 1)
    replaced, number = re.subn(
        f"^{re.escape(first)}(?:{deeper}.*\n)*", lambda _: item, text, flags=re.M
    )
    assert number == 1, f"not one item of the file: {first.strip()}"
    return replaced
