"""My Company > Nodes, and the receipt of a token's deactivation."""

import itertools
import re

import pytest

from gatepass.registry.replication.receipt_status import Confirmation, ConfirmationState, Receipt
from gatepass.web.pages.widgets.sync_status import MOST_PARTS, lease_bar, receipt_row
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit
from tests.support.grants.fake_verifiers import STALENESS, acknowledge, complete, register


def operator(installation: Installation) -> Visit:
    """Ada, who is an operator."""
    return Visit.signed_in(installation.client())


def test_operators_see_every_verifier_with_its_state(installation: Installation) -> None:
    node = installation.node
    now = node.clock.now()
    limits = {"companies": [installation.company.id], "permissions": ["charges:get"]}
    register(node.database, now - 3_600_000, "node_gone")
    register(node.database, now - STALENESS - 2_000, "node_stale")
    register(node.database, now, "node_itself", kind="node", address="gatepass.example.com")
    ada = operator(installation)
    register(node.database, now, "node_a", limits=limits)
    acknowledge(node.database, node.clock.now(), "node_a")
    page = ada.get("/company/nodes")
    assert page.answer.status_code == 200
    assert "1 node and 2 embedded verifiers; 1 stale." in page.text
    page.shows(
        "node_itself.internal Node gatepass.example.com",
        "Reads the database",
        "node_a.internal Embedded 10.0.0.7",
        "Analytical Engines",
        "node_stale.internal Embedded",
        "Stale allows nothing",
        "Gone last seen 1 h ago",
    )
    assert page.links["Nodes"] == "/company/nodes"
    # The fragment that the script polls.
    part = ada.get("/company/nodes?part=table")
    assert "<html" not in part.html
    assert "node_a.internal" in part.text
    (live,) = (each for _, each in page.elements if "data-live" in each)
    assert live["data-live"] == "/company/nodes?part=table"


def test_an_empty_list_says_so(installation: Installation) -> None:
    page = operator(installation).get("/company/nodes")
    page.shows("No node or embedded verifier is running.", "gatepass serve")


def test_names_are_escaped(installation: Installation) -> None:
    register(installation.node.database, installation.node.clock.now(), "node_a", name="<b>x</b>")
    assert "<b>x</b>" not in operator(installation).get("/company/nodes").html


def test_other_users_have_no_link_and_no_access(installation: Installation) -> None:
    installation.new_user("bob@example.com", role="admin")
    bob = Visit.signed_in(installation.client(), "bob@example.com")
    assert "Nodes" not in bob.get("/company").links
    for address in ("/company/nodes", "/company/nodes?part=table"):
        page = bob.get(address)
        assert page.answer.status_code == 403
        page.shows("Operators only", "operator_required")


@pytest.fixture
def token(installation: Installation) -> str:
    return installation.access_token("charges:get")[:21]


def end(visit: Visit, token: str) -> Page:
    visit.send(f"/access-tokens/{token}/deactivate", {})
    return visit.get(f"/access-tokens/{token}")


def live(page: Page) -> list[str]:
    """The part of a page that is polled."""
    return [each["data-live"] for _, each in page.elements if "data-live" in each]


def test_a_receipt_fills_until_every_verifier_refuses(
    installation: Installation, token: str
) -> None:
    node = installation.node
    ada = operator(installation)
    assert "Refused by" not in ada.get(f"/access-tokens/{token}").text
    now = node.clock.now()
    register(node.database, now, "node_itself", kind="node")
    register(node.database, now, "node_a", "node_b")
    page = end(ada, token)
    assert "Refused by 1 of 3" in page.text
    assert (
        "Waiting for 2 of 3 verifiers to confirm. "
        "A verifier we can't reach stops allowing anything within 10 seconds." in page.text
    )
    assert "node_a.internal Embedded not confirmed yet" in page.text
    address = f"/access-tokens/{token}?part=receipt"
    assert live(page) == [address]
    acknowledge(node.database, node.clock.now(), "node_a")
    part = ada.get(address)
    assert "<html" not in part.html
    assert "Refused by 2 of 3" in part.text
    assert re.search(r"node_a\.internal Embedded confirmed after [0-9.]+ s", part.text)
    acknowledge(node.database, node.clock.now(), "node_b")
    complete(node.database, node.clock.now())
    part = ada.get(address)
    assert "Refused by 3 of 3" in part.text
    assert re.search(
        r"Every verifier has stopped accepting it, the last after [0-9.]+ s\.", part.text
    )
    assert live(part) == [], "there is nothing to wait for any more"
    page = ada.get(f"/access-tokens/{token}")
    assert "is complete: refused by 3 of 3 servers" in page.text
    log = ada.get("/audit-log").text
    assert re.search(r"By server .*node_a\.internal: [0-9.]+ s", log)


def test_administrators_see_servers_instead_of_verifiers(
    installation: Installation, token: str
) -> None:
    node = installation.node
    installation.new_user("bob@example.com")
    bob = Visit.signed_in(installation.client(), "bob@example.com")
    register(node.database, node.clock.now(), "node_a")
    page = end(bob, token)
    assert "Refused by 0 of 1 server" in page.text
    assert "Waiting for 1 of 1 server to confirm." in page.text
    assert "A server we can't reach stops allowing anything within 10 seconds." in page.text
    assert "node_a.internal not confirmed yet" in page.text
    assert "revision" not in page.text
    acknowledge(node.database, node.clock.now(), "node_a")
    complete(node.database, node.clock.now())
    part = bob.get(f"/access-tokens/{token}?part=receipt")
    assert re.search(
        r"Every server has stopped accepting it, the last after [0-9.]+ s\.", part.text
    )


def test_a_silent_verifier_is_shown_as_such(installation: Installation, token: str) -> None:
    node = installation.node
    ada = operator(installation)
    register(node.database, node.clock.now(), "node_a")
    end(ada, token)
    for ago in (2 * STALENESS, 0):
        complete(node.database, node.clock.now() - ago)
    page = ada.get(f"/access-tokens/{token}")
    assert "Refused by 0 of 1" in page.text
    assert "1 verifier was unreachable for too long to allow anything." in page.text
    assert "unreachable, can't have allowed anything since" in page.text


def test_on_sqlite_the_node_refuses_at_once(installation: Installation, token: str) -> None:
    node = installation.node
    register(node.database, node.clock.now(), "node_itself", kind="node")
    page = end(operator(installation), token)
    page.shows("Refused by 1 of 1", "This server reads the database directly")


def test_without_running_verifiers_a_receipt_is_complete(
    installation: Installation, token: str
) -> None:
    page = end(operator(installation), token)
    assert "No verifier was running when it was deactivated" in page.text


# --- the drawings --------------------------------------------------------------------------------


def test_the_bar_empties_until_the_lease_ends() -> None:
    assert lease_bar(0, 10_000).left == 96
    assert (lease_bar(4_000, 10_000).left, lease_bar(4_000, 10_000).level) == (58, "good")
    assert lease_bar(6_000, 10_000).level == "low"
    assert lease_bar(9_999, 10_000).left == 2, "while it counts there is something to see"
    assert (lease_bar(10_000, 10_000).left, lease_bar(99_000, 10_000).level) == (0, "none")
    assert lease_bar(4_000, 10_000).words == "6.00 s of 10.0 s left"


def receipt(**counts: int) -> Receipt:
    """A receipt with so many verifiers in each state."""

    def confirmation(id: str, state: ConfirmationState) -> Confirmation:
        return Confirmation(id, id, "embedded", state, None, None, None, False)

    states: tuple[ConfirmationState, ...] = ("refusing", "silent", "waiting")
    each = [
        confirmation(f"{state}-{number}", state)
        for state in states
        for number in range(counts.get(state, 0))
    ]
    return Receipt(1, 0, None, tuple(each))


def test_each_verifier_has_a_segment_and_many_share_one() -> None:
    few = receipt_row(receipt(refusing=5, silent=1, waiting=1))
    assert [part.state for part in few.parts] == ["refusing"] * 5 + ["silent", "waiting"]
    assert few.words == "5 confirmed, 1 unreachable, 1 pending"
    many = receipt_row(receipt(refusing=MOST_PARTS, waiting=1))
    assert [part.state for part in many.parts] == ["refusing", "waiting"]
    for row in (few, many, receipt_row(receipt(refusing=MOST_PARTS))):
        ends = [(part.x, part.x + part.width) for part in row.parts]
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))
        assert ends[-1][1] <= row.width + 6
