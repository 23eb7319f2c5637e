"""``/v1/catalogue``: what is published counts at once, and a bad one changes nothing."""

from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Unavailable
from gatepass.core.published_catalogue import records
from gatepass.registry.actor import Actor
from gatepass.registry.directory import catalogue_versions, companies
from gatepass.registry.directory.catalogue_versions import follow_file
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.grants.publishing import publish_grants
from gatepass.registry.storage.tables import audit_events
from tests.support.apps.installation import CATALOGUE, Installation

MOVED = """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  charges:report: {title: "See the report", routes: ["GET /v1/charges/report"]}
  refunds:get:    {title: "See one refund", routes: ["GET /v1/refunds/{id}"]}
"""
REPORT = {"method": "GET", "path": "/v1/charges/report"}


def put(client: httpx.Client, text: str, **more: Any) -> httpx.Response:
    return client.put("/v1/catalogue", json={"text": text, **more.pop("fields", {})}, **more)


def counting(installation: Installation) -> httpx.Client:
    """A client of Ada's, once the catalogue of the tests is the installation's."""
    client = installation.signed_in()
    assert put(client, CATALOGUE).json()["number"] == 1
    return client


def test_a_route_that_moved_needs_the_other_permission_from_the_answer_on(
    any_installation: Installation,
) -> None:
    ada = counting(any_installation)
    text = any_installation.access_token("charges:get")
    for _ in range(3):
        # The answers are remembered.
        assert any_installation.verify(text, **REPORT)["allowed"]
    made = put(ada, MOVED, fields={"note": "Reports have a permission of their own"})
    assert made.status_code == 200
    assert made.json()["number"] == 2
    decided = any_installation.verify(text, **REPORT)
    assert (decided["reason"], decided["needed"]) == ("permission_missing", ["charges:report"])
    assert any_installation.verify(text, method="GET", path="/v1/charges/1")["allowed"]
    # And back: the former text makes the former decisions.
    assert put(ada, CATALOGUE).json()["number"] == 3
    assert any_installation.verify(text, **REPORT)["allowed"]


def test_built_in_roles_and_lists_follow_in_the_same_change(
    any_installation: Installation,
) -> None:
    ada = counting(any_installation)
    carl = any_installation.of_another_company()
    assert put(ada, MOVED).status_code == 200
    for client in (ada, carl):
        roles = {each["id"]: each for each in client.get("/v1/roles").json()["items"]}
        assert "charges:report" in roles["manager"]["permissions"]
        listed = [each["name"] for each in client.get("/v1/permissions").json()["items"]]
        assert "charges:report" in listed
        changed = client.get("/v1/audit-events?action=catalogue.changed").json()["items"]
        assert changed[0]["actor"]["name"] == "Gatepass"
    manager = any_installation.joined("max@example.com", role="manager")
    assert "charges:report" in manager.get("/v1/me").json()["permissions"]
    with any_installation.node.database.read(0) as reading:
        rows = reading.session.execute(audit_events.select()).all()
    published = [row for row in rows if row.action == "catalogue.published"]
    assert [row.company_id for row in published] == [None, None]
    assert published[-1].actor_name == "Ada Lovelace"


def test_a_role_is_published_by_the_latest_catalogue_not_by_a_nodes_former_one(
    any_installation: Installation,
) -> None:
    ada = counting(any_installation)
    put(ada, MOVED)
    former = parse_catalogue(CATALOGUE)
    made = any_installation.do(
        companies.create, Actor.command_line(), catalogue=former, name="Late"
    )
    any_installation.new_user("late@example.com", role="manager", company=made)
    me = any_installation.signed_in("late@example.com").get("/v1/me").json()
    assert "charges:report" in me["permissions"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("permissions:\n  charges:get: {title: A}\n  charges:get: {title: B}\n", 3),
        ('permissions:\n  users:get: {title: "Taken"}\n', 2),
        ('permissions:\n  a:b: {routes: ["GET /x", "GET /x"]}\n', 2),
        ("permissions: [\n", 2),
        ("services:\n  billing:\n    permissions: {}\n", 2),
        ("\x00", 1),
    ],
)
def test_a_bad_one_is_refused_with_the_line_and_changes_nothing(
    installation: Installation, text: str, line: int
) -> None:
    ada = counting(installation)
    before = ada.get("/v1/catalogue").json()
    for answer in (put(ada, text), ada.post("/v1/catalogue/preview", json={"text": text})):
        assert answer.status_code == 422
        (error, *_) = answer.json()["errors"]
        assert error["field"] == "text"
        assert error["message"].startswith(f"Line {line}: ")
    assert ada.get("/v1/catalogue").json() == before
    token = installation.access_token("charges:get")
    assert installation.verify(token, **REPORT)["allowed"]


@pytest.mark.parametrize("damaged", ["[]", None])
def test_damaged_records_are_an_outage_until_the_text_is_published_again(
    any_installation: Installation, damaged: str | None
) -> None:
    counting(any_installation)
    node = any_installation.node
    token = any_installation.access_token("charges:get")
    digest, contents = records(parse_catalogue(MOVED))
    damage = [] if damaged is None else [replace(contents, label=damaged)]
    any_installation.do(publish_grants, [digest, *damage])
    with pytest.raises(Unavailable):
        follow_catalogue(node.database, node.first_catalogue, node.clock.now())
    made = any_installation.do(catalogue_versions.publish, Actor.command_line(), text=CATALOGUE)
    assert made.number == 1
    assert follow_catalogue(node.database, node.first_catalogue, node.clock.now()) == 0
    assert any_installation.verify(token, **REPORT)["allowed"]


def test_a_note_is_a_line(installation: Installation) -> None:
    ada = installation.signed_in()
    for note in ("a\nb", "x" * 201, "\u202e"):
        answer = put(ada, CATALOGUE, fields={"note": note})
        assert [each["field"] for each in answer.json()["errors"]] == ["note"]


def test_somebody_elses_version_is_not_overwritten(installation: Installation) -> None:
    ada = counting(installation)
    first = ada.get("/v1/catalogue")
    assert put(ada, MOVED, headers={"If-Match": first.headers["ETag"]}).status_code == 200
    answer = put(ada, CATALOGUE, headers={"If-Match": first.headers["ETag"]})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["reason"] == "changed_meanwhile"
    assert problem["current"] == ada.get("/v1/catalogue").json()


def test_versions_are_kept_and_the_present_text_makes_none(installation: Installation) -> None:
    ada = installation.signed_in()
    nothing = ada.get("/v1/catalogue").json()
    assert (nothing["number"], nothing["text"], nothing["created_at"]) == (0, "", None)
    texts = [CATALOGUE, MOVED, CATALOGUE]
    for text in texts:
        put(ada, text)
    assert put(ada, CATALOGUE.replace("\n", "\r\n")).json()["number"] == 3
    items, cursor = [], ""
    while cursor is not None:
        page = ada.get(f"/v1/catalogue/versions?limit=2{cursor}").json()
        items += page["items"]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert [each["number"] for each in items] == [3, 2, 1]
    assert "text" not in items[0]
    for number, text in enumerate(texts, 1):
        version = ada.get(f"/v1/catalogue/versions/{number}").json()
        assert (version["text"], version["created_by_name"]) == (text, "Ada Lovelace")
    for number in ("0", "4", "999999999", "x"):
        assert ada.get(f"/v1/catalogue/versions/{number}").status_code == 404


def test_a_preview_names_who_holds_what_is_dropped(any_installation: Installation) -> None:
    ada = counting(any_installation)
    held = any_installation.access_token("charges:get", "charges:*", label="Nightly")[:21]
    ended = any_installation.access_token("refunds:get")[:21]
    ada.post(f"/v1/access-tokens/{ended}/deactivate")
    ada.post("/v1/roles", json={"name": "Till", "permissions": ["charges:get"]})
    before = ada.get("/v1/catalogue").json()
    text = (
        "permissions:\n"
        '  payments:create: {title: Pay, routes: ["POST /v1/charges"]}\n'
        "  refunds:get: {title: See a refund}\n"
    )
    found = ada.post("/v1/catalogue/preview", json={"text": text}).json()
    assert [each["name"] for each in found["added"]] == ["payments:create"]
    assert [each["name"] for each in found["dropped"]] == ["charges:create", "charges:get"]
    assert [each["after"]["name"] for each in found["changed"]] == ["refunds:get"]
    assert found["moved"] == [
        {"route": "POST /v1/charges", "before": "charges:create", "after": "payments:create"}
    ]
    holders = {each["permission"]: each for each in found["holders"]}
    assert holders.keys() == {"charges:get", "charges:*"}
    assert (holders["charges:get"]["tokens"], holders["charges:get"]["roles"]) == (1, 1)
    company = {"id": any_installation.company.id, "name": "Analytical Engines", "tokens": 1}
    assert holders["charges:*"]["companies"] == [company]
    named = {"id": held, "label": "Nightly", "company": company["id"]}
    assert holders["charges:*"]["newest"] == [named]
    assert ada.get("/v1/catalogue").json() == before


def test_it_is_for_operators_who_are_signed_in(installation: Installation) -> None:
    bob = installation.joined("bob@example.com")
    token = installation.client(installation.access_token("access-tokens:get"))
    for client, reason in (
        (bob, "operator_required"),
        (token, "signed_in_user_required"),
        (installation.admin(), "admin_key"),
    ):
        for answer in (
            client.get("/v1/catalogue"),
            client.get("/v1/catalogue/versions"),
            client.get("/v1/catalogue/versions/1"),
            put(client, CATALOGUE),
            client.post("/v1/catalogue/preview", json={"text": ""}),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (403, reason)


def test_a_file_is_published_at_a_start_and_never_over_what_somebody_published(
    any_installation: Installation,
) -> None:
    node = any_installation.node

    def start(text: str) -> str:
        return follow_file(node.database, text, node.clock.now())

    assert start(CATALOGUE) == "published"
    assert start(CATALOGUE) == "current"
    assert start(MOVED) == "published"
    # Another node's file, still the former one: the two don't undo each other's.
    assert start(CATALOGUE) == "earlier"
    ada = any_installation.signed_in()
    assert ada.get("/v1/catalogue").json()["text"] == MOVED
    assert put(ada, "").json()["number"] == 3
    assert start("permissions: {a:b: {title: C}}") == "superseded"
    assert ada.get("/v1/catalogue").json()["number"] == 3
    # Published as the file, its later contents count again.
    any_installation.do(
        catalogue_versions.publish, Actor.command_line(), text=MOVED, from_file=True
    )
    assert start("permissions: {a:b: {title: C}}") == "published"
    assert ada.get("/v1/catalogue").json()["permissions"] == 1
