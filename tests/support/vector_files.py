"""The test vectors: calls and expected outcomes as data, for any implementation."""

from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "vectors"
# The C parser, where PyYAML was built with it, reads them ten times faster.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(file: str) -> dict[str, Any]:
    """Read a vector file."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    content = yaml.load(text, Loader=_Loader)
    assert isinstance(content, dict)
    return content


def cases(file: str, section: str) -> list[Any]:
    """A section's cases as pytest parameters, named by what they show."""
    found = load(file)[section]
    assert found, f"{file} has no {section}"
    return [pytest.param(case, id=_name(case)) for case in found]


def _name(case: Any) -> str:
    if isinstance(case, dict):
        for key in ("shows", "text", "call"):
            if key in case:
                return str(case[key])[:80].encode("unicode_escape").decode()
    return str(case)[:80].encode("unicode_escape").decode()
