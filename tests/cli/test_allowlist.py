"""``gatepass allowlist`` during a trial."""

import json
from collections.abc import Callable
from typing import Any

from gatepass.cli.installation import opened
from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.session_records import begin
from gatepass.registry.directory import users
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry

OFFICE = Entry("203.0.113.0/24", "Office")


def test_a_trial_is_shown_with_the_previous_list_and_cleared(
    installed: Callable[..., Any],
) -> None:
    start_trial()
    shown = installed("allowlist", "show", "--company", "Acme")
    assert "203.0.113.0/24" in shown.out
    assert "On trial until " in shown.err
    assert "No allowlist" in shown.err
    found = json.loads(installed("allowlist", "show", "--company", "Acme", "--json").out)
    assert found["entries"] == [{"network": "203.0.113.0/24", "note": "Office"}]
    assert found["trial_until"].endswith("Z")
    assert found["falls_back_to"] == []
    cleared = installed("allowlist", "clear", "--company", "Acme")
    assert (cleared.code, cleared.err) == (0, "Acme can be used from anywhere again.\n")
    found = json.loads(installed("allowlist", "show", "--company", "Acme", "--json").out)
    assert found == {"entries": [], "trial_until": None, "falls_back_to": None}


def start_trial() -> None:
    with opened() as node, node.database.write(node.clock.now()) as change:
        ada = users.by_email(change, "ada@acme.example")
        assert ada is not None
        login = begin(
            change,
            ada,
            make(LOGIN_TOKEN),
            lifetime_ms=60_000,
            address="198.51.100.7",
            user_agent=None,
        )
        actor = Actor(
            "user", ada.company, ada.id, ada.name, frozenset({"*"}), login.id, login.address
        )
        allowlist.replace(change, actor, ada.company, [OFFICE], confirm=True)
