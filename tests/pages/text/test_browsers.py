"""User agents in words."""

from typing import Any

import pytest

from gatepass.web.pages.text.browsers import browser
from tests.support import vector_files


@pytest.mark.parametrize("case", vector_files.cases("browsers.yaml", "cases"))
def test_a_user_agent_is_named(case: dict[str, Any]) -> None:
    assert browser(case["text"]) == case["said"]
