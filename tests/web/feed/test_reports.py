"""Reports of followers: acknowledgements and use."""

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select

from gatepass.core.credentials import ID_LENGTH
from gatepass.registry.storage import tables
from gatepass.registry.tokens.calls import hours, usage
from gatepass.verify.replica.http_feed import ReportConnection
from gatepass.verify.replica.reporting import Reporter
from gatepass.web.times import parse_time
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields
from tests.support.feed.asgi_feed import FOLLOWER, Loop, OpenFeed, here

Post = Callable[..., httpx.Response]
SPOOL = "17-0123456789abcdef"


@pytest.fixture
def key(any_installation: Installation) -> str:
    return any_installation.verifier_key("payments")


@pytest.fixture
def post(any_installation: Installation, key: str, loop: Loop) -> Post:
    """Posts to the feed's paths with a verifier key."""

    def post_(path: str, **sent: Any) -> httpx.Response:
        with_key = sent.pop("key", key)
        return loop.post(any_installation.app, with_key, f"/v1/feed/{path}", **sent)

    return post_


def known(installation: Installation, key: str) -> Any:
    """The registry's row of the follower with that verifier key."""
    with installation.node.database.read(installation.node.clock.now()) as reading:
        found = select(tables.nodes).where(tables.nodes.c.key_id == key[:ID_LENGTH])
        return reading.session.execute(found).one_or_none()


# --- acknowledgements -----------------------------------------------------------------------------


def test_an_acknowledgement_is_stored_before_the_answer(
    any_installation: Installation, open_feed: OpenFeed, key: str, post: Post
) -> None:
    open_feed(key=key).reached()
    revision, tag = here(any_installation.node.database)
    said = {"node": FOLLOWER, "revision": revision, "tag": tag}
    answer = post("acknowledgement", json=said)
    assert (answer.status_code, answer.json()) == (200, {})
    assert known(any_installation, key).revision == revision
    # An unknown position confirms nothing.
    for other in ({"tag": secrets.token_hex(8)}, {"revision": 10**9}):
        assert post("acknowledgement", json={**said, **other}).status_code == 200
    assert known(any_installation, key).revision == revision


def test_it_says_up_to_when_use_is_reported(
    any_installation: Installation, open_feed: OpenFeed, key: str, post: Post
) -> None:
    open_feed(key=key).reached()
    revision, tag = here(any_installation.node.database)
    said = {"node": FOLLOWER, "revision": revision, "tag": tag}
    assert post("acknowledgement", json=said).status_code == 200
    row = known(any_installation, key)
    assert row.use_reported_at is None, "a follower of a former release"
    assert post("acknowledgement?use_age_ms=60000&later=1", json=said).status_code == 200
    row = known(any_installation, key)
    assert 0 <= row.use_reported_at + 60_000 - row.first_seen_at < 60_000
    assert post("acknowledgement?use_age_ms=70000", json=said).status_code == 200
    assert known(any_installation, key).use_reported_at == row.use_reported_at
    for wrong in ("-1", "1.5", "1" * 16, "\u0661", "1&use_age_ms=1"):
        answer = post(f"acknowledgement?use_age_ms={wrong}", json=said)
        assert (answer.status_code, fields(answer)) == (422, ["use_age_ms"]), wrong


def test_a_server_of_the_former_release_reads_the_body() -> None:
    """What was added stands in the address, which it doesn't look at."""

    class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        node: str
        revision: int
        tag: str

    sent: list[tuple[str, bytes]] = []

    class Connection(ReportConnection):
        def __init__(self) -> None:
            pass

        def post(self, name: str, body: bytes) -> bytes:
            sent.append((name, body))
            return b"{}"

    reporter = Reporter(Connection(), Path("/nonexistent"))
    reporter._send_use()
    reporter.set_position(FOLLOWER, (7, "0" * 16))
    reporter._acknowledge()
    ((name, body),) = sent
    assert re.fullmatch(r"acknowledgement\?use_age_ms=1000\d", name)
    assert msgspec.json.decode(body, type=Former) == Former(FOLLOWER, 7, "0" * 16)


def test_only_its_own_key_acknowledges_for_a_follower(
    any_installation: Installation, open_feed: OpenFeed, key: str, post: Post
) -> None:
    revision, tag = here(any_installation.node.database)
    said = {"node": FOLLOWER, "revision": revision, "tag": tag}
    assert post("acknowledgement", json=said).status_code == 404
    assert known(any_installation, key) is None
    open_feed(key=key).reached()
    before = known(any_installation, key).revision
    other = any_installation.verifier_key("another")
    assert post("acknowledgement", key=other, json=said).status_code == 404
    assert known(any_installation, key).revision == before


def test_a_follower_cannot_impersonate_another(
    any_installation: Installation, open_feed: OpenFeed, key: str, post: Post
) -> None:
    open_feed(key=key).reached()
    before = known(any_installation, key)
    token = any_installation.access_token("charges:get")[:21]
    ada = any_installation.signed_in()
    ada.post(f"/v1/access-tokens/{token}/deactivate")
    revision, tag = here(any_installation.node.database)

    def state() -> str:
        receipt = ada.get(f"/v1/access-tokens/{token}/receipt").json()
        return str({each["id"]: each["state"] for each in receipt["verifiers"]}[before.id])

    # With the other's claimed id, and with its registry id.
    other = any_installation.verifier_key("another")
    for name in (FOLLOWER, before.id):
        open_feed(key=other, node=name, name="impostor").reached()
        said = {"node": name, "revision": revision, "tag": tag}
        assert post("acknowledgement", key=other, json=said).status_code == 200
        assert state() == "waiting"
    after = known(any_installation, key)
    assert (after.name, after.revision) == (before.name, before.revision)
    said = {"node": FOLLOWER, "revision": revision, "tag": tag}
    assert post("acknowledgement", json=said).status_code == 200
    assert state() == "refusing"


def test_invalid_acknowledgements_are_refused(post: Post) -> None:
    good = {"node": FOLLOWER, "revision": 1, "tag": "0" * 16}
    for wrong, field in (
        ({"node": "node_short"}, "node"),
        ({"node": FOLLOWER + "\n"}, "node"),
        ({"node": None}, "node"),
        ({"revision": -1}, "revision"),
        ({"revision": "1"}, "revision"),
        ({"revision": 1.0}, "revision"),
        ({"revision": True}, "revision"),
        ({"revision": 2**63}, "revision"),
        ({"tag": "0" * 17}, "tag"),
        ({"tag": "0" * 15 + "\n"}, "tag"),
        ({"vouched_at": 7}, "body"),
    ):
        answer = post("acknowledgement", json={**good, **wrong})
        assert answer.status_code == 422, (wrong, answer.text)
        assert answer.json()["errors"][0]["field"] == field, answer.text
    assert post("acknowledgement", json=[good]).status_code == 422
    assert post("acknowledgement", content=b"{").status_code == 400
    assert post("acknowledgement", content=b"x" * (1 << 21)).status_code == 413


def test_reports_need_a_verifier_key(any_installation: Installation) -> None:
    for path in ("acknowledgement", "use"):
        for credential in (None, any_installation.sign_in()):
            answer = any_installation.client(credential).post(f"/v1/feed/{path}", json={})
            assert answer.status_code == 401, path


# --- use ------------------------------------------------------------------------------------------


def test_use_that_is_sent_twice_counts_once(any_installation: Installation, post: Post) -> None:
    token = any_installation.access_token("charges:get")[:21]
    now = any_installation.node.clock.now()
    batch = {
        "tokens": {token: [3, now - 5_000, "203.0.113.7", "charges:get"]},
        "decisions": {"allowed": 3, "token_expired": 2},
    }
    sent = {"spool": SPOOL, "start": 0, "end": 100, "batches": [batch]}
    for _ in range(2):
        answer = post("use", json=sent)
        assert (answer.status_code, answer.json()) == (200, {"folded_to": 100})
    counted = _counted(any_installation, token)
    assert counted["total"] == 3
    # The node's own decisions count as well.
    assert counted["decisions"]["allowed"] >= 3
    assert counted["decisions"]["token_expired"] == 2
    used = any_installation.signed_in().get(f"/v1/access-tokens/{token}").json()["last_used"]
    assert used["address"] == "203.0.113.7"

    # A report from another offset gets the offset to continue from.
    ahead = {**sent, "start": 150, "end": 200}
    assert post("use", json=ahead).json() == {"folded_to": 100}
    onward = {**sent, "start": 100, "end": 200}
    assert post("use", json=onward).json() == {"folded_to": 200}
    assert _counted(any_installation, token)["total"] == 6


def test_use_of_unknown_tokens_is_ignored(any_installation: Installation, post: Post) -> None:
    token = any_installation.access_token("charges:get")[:21]
    now = any_installation.node.clock.now()
    batch = {
        "tokens": {
            "gpat_0000000000000000": [5, now, None, ""],
            token: [1, now + 86_400_000 * 365, None, ""],
        },
        "decisions": {"a_reason_of_tomorrow": 4, "allowed": 1},
    }
    sent = {"spool": SPOOL, "start": 0, "end": 10, "batches": [batch]}
    assert post("use", json=sent).status_code == 200
    assert _counted(any_installation, "gpat_0000000000000000")["total"] == 0
    counted = _counted(any_installation, token)
    assert counted["total"] == 1
    assert "a_reason_of_tomorrow" not in counted["decisions"]
    # A clock that is a year ahead doesn't make the token used next year.
    assert now <= counted["last_at"] <= any_installation.node.clock.now()


def test_a_finished_spool_is_deleted(any_installation: Installation, post: Post) -> None:
    def spools() -> list[str]:
        node = any_installation.node
        with node.database.read(node.clock.now()) as reading:
            return list(reading.session.scalars(select(tables.usage_spools.c.name)))

    sent = {"spool": SPOOL, "start": 0, "end": 10, "batches": []}
    assert post("use", json=sent).json() == {"folded_to": 10}
    # A node's own spool of that name is a different one.
    assert spools() == [f"embedded/{SPOOL}"]
    wrong_end = {**sent, "start": 7, "end": 7, "finished": True}
    assert post("use", json=wrong_end).json() == {"folded_to": 10}
    assert spools() == [f"embedded/{SPOOL}"]
    finished = {**sent, "start": 10, "finished": True}
    assert post("use", json=finished).json() == {"folded_to": 10}
    assert spools() == []


def test_invalid_use_is_refused(post: Post) -> None:
    token = "gpat_0123456789abcdef"
    good = [1, 1_000, "203.0.113.7", "charges:get"]

    def sent(use: object = good, **more: object) -> dict[str, object]:
        batch = {"tokens": {token: use}, "decisions": {"allowed": 1}}
        return {"spool": SPOOL, "start": 0, "end": 10, "batches": [batch], **more}

    assert post("use", json=sent()).status_code == 200
    for wrong in (
        {},
        sent(spool="short"),
        sent(spool="../../etc/passwd-0000"),
        sent(spool="x" * 65),
        sent(spool="x" * 20 + "\n"),
        sent(start=-1),
        sent(start=2**60),
        sent(start=11),
        sent(start=10),
        sent(end="10"),
        sent(batches=None),
        sent(batches=[{"tokens": {}}]),
        sent(batches=[{"tokens": {}, "decisions": {}, "more": 1}]),
        sent(batches=[{"tokens": {"gplt_0123456789abcdef": good}, "decisions": {}}]),
        sent(batches=[{"tokens": {}, "decisions": {"Allowed\u0000": 1}}]),
        sent(batches=[{"tokens": {}, "decisions": {"allowed": 0}}]),
        sent(batches=[{"tokens": {}, "decisions": {}}] * 10_001),
        sent([0, 1_000, None, ""]),
        sent([10**9 + 1, 1_000, None, ""]),
        sent([1, 2**53 + 1, None, ""]),
        sent(batches=[{"tokens": {}, "decisions": {"allowed": 10**9 + 1}}]),
        sent([1, -1, None, ""]),
        sent([1, 1_000, "localhost", ""]),
        sent([1, 1_000, None, None]),
        sent([1, 1_000, None, "charges"]),
        sent([1, 1_000, None, "x:" + "y" * 300]),
        sent([1, 1_000, None]),
        sent(finished="yes"),
        sent(unknown=1),
    ):
        answer = post("use", json=wrong)
        assert answer.status_code == 422, (wrong, answer.text)
        assert answer.json()["errors"], answer.text


# --- observed calls -------------------------------------------------------------------------------

FACTS = [
    *("permission_missing", ["charges:get"], "/v1/charges/{id}", "GET", "203.0.113.7"),
    "https://shop.example.com",
]


def test_calls_that_are_sent_twice_count_once(any_installation: Installation, post: Post) -> None:
    token = any_installation.access_token("charges:get")[:21]
    now = any_installation.node.clock.now()
    far = now + 86_400_000 * 365
    calls = [
        # Newer followers may add to both lists.
        [token, False, [*FACTS, "more"], 3, now - 9, now - 5, "more"],
        [token, False, None, 2, now - 9, now - 6],
        [token, False, ["a_reason_of_tomorrow", *FACTS[1:]], 4, now, now],
        ["gpat_0000000000000000", False, FACTS, 4, now, now],
        # A clock that is a year ahead.
        [token, True, ["allowed", [], None, None, "2001:DB8::1", None], 1, far, far],
    ]
    sent = {"spool": SPOOL, "start": 0, "end": 100, "batches": [], "calls": calls}
    for _ in range(2):
        answer = post("use", json=sent)
        assert (answer.status_code, answer.json()) == (200, {"folded_to": 100})
    listed = any_installation.signed_in().get(f"/v1/access-tokens/{token}/calls").json()["items"]
    ahead, refused, rest = listed
    assert (ahead["address"], ahead["outcome"], ahead["count"]) == ("2001:db8::1", "allowed", 1)
    assert parse_time(ahead["last_at"]) <= any_installation.node.clock.now()
    names = ("outcome", "reason", "permission", "route", "method", "address", "origin", "count")
    assert [refused[name] for name in names] == ["refused", FACTS[0], "charges:get", *FACTS[2:], 3]
    assert refused["decision"].startswith("dec_")
    assert [rest[name] for name in names] == ["refused", None, None, *[None] * 4, 2]


def test_reported_calls_count_in_their_hour_once(
    any_installation: Installation, post: Post
) -> None:
    """However late the report, and how often it is sent."""
    node = any_installation.node
    token = any_installation.access_token("charges:get")[:21]
    now = node.clock.now()
    earlier = now - 5 * hours.HOUR_MS
    batches = [
        {"tokens": {token: [number, at, None, ""]}, "decisions": {"allowed": number}}
        for number, at in ((3, earlier), (4, now), (5, now - 99 * hours.HOUR_MS))
    ]
    calls = [
        [token, False, FACTS, 2, earlier, earlier],
        [token, True, ["allowed", *FACTS[1:]], 3, earlier, earlier],
        ["gpat_0000000000000000", False, FACTS, 4, now, now],
    ]
    sent = {"spool": SPOOL, "start": 0, "end": 100, "batches": batches, "calls": calls}
    for _ in range(2):
        assert post("use", json=sent).status_code == 200
    # A follower of a former release reports the use alone.
    assert post("use", json={**sent, "start": 100, "end": 110, "calls": []}).status_code == 200
    with node.database.read(now) as reading:
        found = hours.of_token(reading, token)
        unknown = hours.of_token(reading, "gpat_0000000000000000")
    assert (found.allowed[-6], found.allowed[-1], sum(found.allowed)) == (6, 8, 14)
    assert (found.refused[-6], sum(found.refused)) == (2, 2)
    assert sum(unknown.refused) == 0


def test_invalid_calls_are_refused(post: Post) -> None:
    token = "gpat_0123456789abcdef"

    def sent(*call: object) -> dict[str, object]:
        return {"spool": SPOOL, "start": 0, "end": 10, "batches": [], "calls": [call]}

    def facts(**changed: object) -> dict[str, object]:
        names = ("reason", "needed", "route", "method", "address", "origin")
        given = dict(zip(names, FACTS, strict=True)) | changed
        return sent(token, False, list(given.values()), 1, 1_000, 1_000)

    assert post("use", json=facts()).status_code == 200
    for wrong in (
        sent(),
        sent(token, False, None, 1, 1_000),
        sent("gplt_0123456789abcdef", False, None, 1, 1_000, 1_000),
        sent(token, 0, None, 1, 1_000, 1_000),
        sent(token, False, None, 0, 1_000, 1_000),
        sent(token, False, None, 1, 1_001, 1_000),
        sent(token, False, None, 1, -1, 1_000),
        sent(token, False, None, 1, 1_000, 2**53 + 1),
        sent(token, False, FACTS[:-1], 1, 1_000, 1_000),
        sent(token, False, {}, 1, 1_000, 1_000),
        facts(reason="Allowed"),
        facts(needed=["charges"]),
        facts(needed=["a:b", "a:c", "a:d"]),
        facts(needed=["x:" + "y" * 300]),
        facts(route=None),
        facts(route="/v1/charges/../x"),
        facts(route="/" + "x" * 500),
        facts(route="/v1/\u202e"),
        facts(method=None),
        facts(method="get"),
        facts(address="localhost"),
        facts(origin="https://shop.example.com/"),
        facts(origin="https://Shop.example.com"),
        facts(origin="null"),
        facts(origin="s" * 250 + "://example.com"),
        {**sent(token, False, None, 1, 1_000, 1_000), "end": 0},
        {**facts(), "calls": [[token, False, None, 1, 1, 1]] * 10_001},
    ):
        answer = post("use", json=wrong)
        assert answer.status_code == 422, (wrong, answer.text)
        assert answer.json()["errors"], answer.text


def _counted(installation: Installation, token: str) -> dict[str, Any]:
    node = installation.node
    with node.database.read(node.clock.now()) as reading:
        last = tables.token_use.c.last_at
        found = select(last).where(tables.token_use.c.token_id == token)
        return {
            "total": usage.total(reading, token),
            "last_at": reading.session.execute(found).scalar_one_or_none(),
            "decisions": usage.decision_counts(reading),
        }
