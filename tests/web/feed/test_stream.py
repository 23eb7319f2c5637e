"""``GET /v1/feed``: the frames that a follower receives."""

import threading
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import structs
from sqlalchemy import select, text

from gatepass.registry.grants import publishing
from gatepass.registry.storage import revisions, tables
from gatepass.registry.storage.database import Reading
from gatepass.verify.replica.frames import Opening, Reached, Records
from gatepass.web.feed import chunking, source
from tests.support.apps.installation import Installation
from tests.support.feed.asgi_feed import FOLLOWER, Feed, Loop, OpenFeed, here, registry
from tests.support.grants.fake_verifiers import register

ASKED = {"node": FOLLOWER, "name": "payments-1", "version": "0.1.0"}


def test_a_new_follower_gets_everything_then_each_change_then_heartbeats(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    database = any_installation.node.database
    token = any_installation.access_token("charges:get")
    feed = open_feed()
    assert feed.status == 200
    assert feed.headers["content-type"] == "application/vnd.gatepass.feed"
    assert feed.headers["cache-control"] == "no-store, no-transform"
    assert feed.headers["x-accel-buffering"] == "no"
    opening = feed.next()
    assert isinstance(opening, Opening)
    assert opening.full
    assert opening.staleness_ms == 10_000
    first = feed.reached()
    assert feed.position == here(database)
    assert feed.copy == registry(database)
    assert ("grants", token[:21]) in feed.copy

    other = any_installation.access_token("charges:create")
    feed.reached(here(database))
    assert feed.copy == registry(database)
    assert ("grants", other[:21]) in feed.copy

    beat, next_beat = feed.reached(), feed.reached()
    assert first.asked_boot_ns < beat.asked_boot_ns < next_beat.asked_boot_ns
    assert next_beat.asked_boot_ns <= any_installation.node.clock.boot_ns()
    assert len(feed.openings) == 1


def test_a_returning_follower_gets_the_changes_since_its_position(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    token = any_installation.access_token("charges:get")
    feed = open_feed()
    feed.reached()
    feed.leave()
    any_installation.signed_in().post(f"/v1/access-tokens/{token[:21]}/deactivate", json={})
    again = open_feed(position=feed.position, former=feed.copy)
    opening, records, reached = again.next(), again.next(), again.next()
    assert isinstance(opening, Opening)
    assert not opening.full
    assert isinstance(records, Records)
    assert isinstance(reached, Reached)
    assert again.copy == registry(any_installation.node.database)
    again.leave()
    # Without changes, only a heartbeat follows.
    third = open_feed(position=again.position, former=again.copy)
    assert isinstance(third.next(), Opening)
    assert isinstance(third.next(), Reached)


def test_rapid_changes_are_sent_in_batches(
    open_feed: OpenFeed, any_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch costs every follower a commit, and its readers their caches."""
    feed = open_feed()
    feed.reached()
    client = any_installation.signed_in()
    body = {"label": "sample", "kind": "api", "permissions": ["charges:get"]}
    monkeypatch.setattr(source, "rest_s", lambda streams: 0.5)
    started = time.monotonic()
    for _ in range(30):
        assert client.post("/v1/access-tokens", json=body).status_code == 201
    told, was = 0, feed.position
    while feed.position != here(any_installation.node.database):
        feed.reached()
        told, was = told + (feed.position != was), feed.position
    # A heartbeat, and one already on its way, may be added.
    assert told <= (time.monotonic() - started) / 0.5 + 4
    assert feed.copy == registry(any_installation.node.database)


def test_the_rest_between_updates_grows_with_the_streams() -> None:
    """Few followers get changes sooner; many must not take all of the event loop's time."""
    assert [source.rest_s(streams) for streams in (1, 20, 40, 50, 2_000)] == [
        *(0.02, 0.02, 0.04),
        *(0.05, 0.05),
    ]


def test_a_small_change_does_not_wait_for_a_thread_to_be_encoded(
    open_feed: OpenFeed, any_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, on_threads = source.Source.run, []

    async def noted(self: source.Source, work: Any, *arguments: Any) -> Any:
        on_threads.append(work.__name__)
        return await run(self, work, *arguments)

    monkeypatch.setattr(source.Source, "run", noted)
    feed = open_feed()
    feed.reached()
    for most, encoded_there in ((1 << 14, False), (0, True)):
        monkeypatch.setattr(source, "_MOST_BYTES_ON_THE_LOOP", most)
        on_threads.clear()
        any_installation.access_token("charges:get")
        feed.reached(here(any_installation.node.database))
        assert ("frames" in on_threads) is encoded_there
    assert feed.copy == registry(any_installation.node.database)


def test_a_withdrawn_grant_is_sent_as_deleted(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    token = any_installation.access_token("charges:get")
    feed = open_feed()
    feed.reached()
    with any_installation.write() as change:
        publishing.withdraw_grants(change, [token[:21]])
    feed.reached(here(any_installation.node.database))
    assert ("grants", token[:21]) not in feed.copy


@pytest.mark.parametrize("why", ["another history", "older than what is kept", "too much since"])
def test_a_follower_with_an_unknown_or_old_position_gets_a_snapshot(
    open_feed: OpenFeed,
    any_installation: Installation,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = any_installation.node.database
    position = here(database)
    for _ in range(3):
        any_installation.access_token("charges:get")
    if why == "another history":
        position = (position[0], "0123456789abcdef")
    elif why == "too much since":
        monkeypatch.setattr(source, "MOST_CHANGES", 2)
    else:
        with database.auxiliary_write(0) as write:
            write.session.execute(
                text("DELETE FROM revisions WHERE number = :number"), {"number": position[0]}
            )
    feed = open_feed(position=position)
    opening = feed.next()
    assert isinstance(opening, Opening)
    assert opening.full
    feed.reached()
    assert feed.copy == registry(database)


def test_changes_during_a_snapshot_follow_it(
    open_feed: OpenFeed, any_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunking, "_MOST_RECORDS", 2)
    made = sorted(_tokens(any_installation, 12))
    feed = open_feed(pause_after=3)
    for _ in range(3):
        feed.next()
    gone, ended = made[0], made[1]
    with any_installation.write() as change:
        # Both were read before the change.
        publishing.withdraw_grants(change, [gone])
        grant = publishing.published_grant(change, ended)
        assert grant is not None
        publishing.publish(change, structs.replace(grant, deactivated=True))
    _tokens(any_installation, 4)
    feed.resume()
    feed.reached()
    database = any_installation.node.database
    # The snapshot is complete at once, before further changes.
    assert feed.position == here(database)
    assert feed.copy == registry(database)
    assert ("grants", gone) not in feed.copy
    assert len(feed.openings) == 1


def _tokens(installation: Installation, number: int) -> list[str]:
    client = installation.signed_in()
    made = []
    for _ in range(number):
        body = {"label": "sample", "kind": "api", "permissions": ["charges:get"]}
        made.append(client.post("/v1/access-tokens", json=body).json()["id"])
    return made


def test_a_replaced_history_ends_the_stream_without_a_lease(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    node = any_installation.node
    feed = open_feed()
    feed.reached()
    former = feed.position
    with node.database.auxiliary_write(0) as write, node.file.writing():
        # Like a restore: a new tag, and no former revisions.
        write.session.execute(
            text("UPDATE revision SET number = number - 1, tag = 'aaaaaaaaaaaaaaaa'")
        )
        write.session.execute(text("DELETE FROM revisions"))
        write.session.execute(text("INSERT INTO revisions SELECT number, tag, 0 FROM revision"))
        write.session.commit()
    feed.ended()
    assert feed.position == former
    again = open_feed(position=former)
    again.reached()
    assert again.openings[0].full
    assert again.position == here(node.database)


def test_deactivating_its_key_ends_a_stream(
    open_feed: OpenFeed, any_installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    key = any_installation.verifier_key("payments")
    feed = open_feed(key=key)
    feed.reached()
    answer = any_installation.signed_in().post(f"/v1/verifier-keys/{key[:21]}/deactivate", json={})
    assert answer.status_code == 200
    feed.ended()
    refused = open_feed(key=key)
    assert refused.status == 401
    assert b"token_deactivated" in refused.body
    assert key not in caplog.text


def test_no_feed_has_verifier_keys(open_feed: OpenFeed, any_installation: Installation) -> None:
    feed = open_feed()
    feed.reached()
    any_installation.verifier_key("another")
    feed.reached(here(any_installation.node.database))
    assert not any(key.startswith("gpvk") for _, key in feed.copy)


def test_thousands_of_streams_share_one_read_per_change_and_no_threads(
    open_feed: OpenFeed, any_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = [open_feed(node=f"node_{number:016}") for number in range(25)]
    for feed in feeds:
        feed.reached()
    threads, readings = threading.active_count(), 0
    former = revisions.overview

    def counted(*arguments: Any) -> Any:
        nonlocal readings
        readings += 1
        return former(*arguments)

    monkeypatch.setattr(revisions, "overview", counted)
    any_installation.access_token("charges:get")
    there = here(any_installation.node.database)
    began = time.monotonic()
    for feed in feeds:
        feed.reached(there)
    # Two changes, a sign-in and a token; on SQLite also one read per heartbeat.
    assert readings <= 8 + 4 * (time.monotonic() - began)
    assert threading.active_count() <= threads + 2
    assert all(feed.copy == feeds[0].copy for feed in feeds)


def test_a_follower_that_does_not_read_is_disconnected(
    any_installation: Installation, loop: Loop
) -> None:
    node = any_installation.node
    object.__setattr__(node.settings, "max_staleness", 1)
    feed = Feed(loop, any_installation.app, any_installation.verifier_key())
    feed.reached()
    feed.pause()
    feed.done(5)


WRONG: list[tuple[dict[str, Any] | list[tuple[str, str]], str]] = [
    ({}, "node"),
    ({"name": "a", "version": "1"}, "node"),
    ({**ASKED, "node": "node_short"}, "node"),
    ({**ASKED, "node": FOLLOWER + "\n"}, "node"),
    ({**ASKED, "name": ""}, "name"),
    ({**ASKED, "name": "a b"}, "name"),
    ({**ASKED, "name": "a" * 254}, "name"),
    ({**ASKED, "version": "<script>"}, "version"),
    ({**ASKED, "revision": "1"}, "tag"),
    ({**ASKED, "tag": "0" * 16}, "tag"),
    ({**ASKED, "revision": "-1", "tag": "0" * 16}, "revision"),
    ({**ASKED, "revision": "1" * 20, "tag": "0" * 16}, "revision"),
    ({**ASKED, "revision": "01", "tag": "0" * 16}, "revision"),
    ({**ASKED, "revision": "1", "tag": "0" * 15 + "G"}, "tag"),
    ({**ASKED, "company": ""}, "company"),
    ({**ASKED, "company": "a b"}, "company"),
    ({**ASKED, "permission": "*"}, "permission"),
    ({**ASKED, "permission": "charges"}, "permission"),
    ({**ASKED, "key": "gpvk_in_the_address"}, "key"),
    ({**ASKED, "since": "yesterday"}, "since"),
    ([*ASKED.items(), ("node", FOLLOWER)], "node"),
    ([*ASKED.items(), *[("company", f"com_{n}") for n in range(201)]], "company"),
    ([*ASKED.items(), *[("company", f"com_{n}") for n in range(2_000)]], "query"),
]


def test_an_invalid_parameter_is_named(installation: Installation) -> None:
    client = installation.client(installation.verifier_key())
    for asked, field in WRONG:
        answer = client.get(f"/v1/feed?{urlencode(asked)}")
        assert answer.status_code == 422, (asked, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert field in {error["field"] for error in answer.json()["errors"]}, asked
    for query in ("%ff=1", "a", "node=%ff", "&&", "\u00e9=1"):
        assert client.get(f"/v1/feed?{query}").status_code == 422, query


def test_only_a_verifier_key_in_a_header_can_follow(installation: Installation) -> None:
    key = installation.verifier_key()
    address = f"/v1/feed?{urlencode(ASKED)}"
    for credential in (None, installation.sign_in(), installation.access_token("charges:get"), "x"):
        answer = installation.client(credential).get(address)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert installation.client().get(f"{address}&key={key}").status_code == 401
    assert installation.client(key).get(f"{address}&key={key}").status_code == 422


def test_other_methods_are_405(installation: Installation) -> None:
    client = installation.client(installation.verifier_key())
    address = f"/v1/feed?{urlencode(ASKED)}"
    head = client.head(address)
    assert head.status_code == 200
    assert head.headers["content-type"] == "application/vnd.gatepass.feed"
    assert head.content == b""
    for method, path, allow in (
        ("POST", "/v1/feed", "GET, HEAD"),
        ("GET", "/v1/feed/use", "POST"),
        ("DELETE", "/v1/feed/acknowledgement", "POST"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allow
    assert client.get("/v1/feed/").status_code == 404


def test_a_follower_is_registered_before_it_receives_anything(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    company = any_installation.company.id
    feed = open_feed(companies=(company,), permissions=("charges:get",))
    row = _known(any_installation)
    assert (row.kind, row.name, row.version) == ("embedded", "payments-1", "0.1.0")
    assert row.address == "127.0.0.1"
    assert row.key_id.startswith("gpvk_")
    assert row.staleness_ms == 10_000
    limits = row.limits
    assert limits == {"companies": [company], "permissions": ["charges:get"]}
    assert isinstance(feed.next(), Opening)


def test_a_follower_cannot_impersonate_a_node(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    first = open_feed()
    follower_id = _known(any_installation).id
    first.leave()
    database, now = any_installation.node.database, any_installation.node.clock.now()
    register(database, now, FOLLOWER, kind="node")
    # Neither with the node's id nor with its own registry id.
    for name in (FOLLOWER, follower_id):
        assert open_feed(node=name).status == 200
    with database.read(now) as reading:
        found = select(tables.nodes).where(tables.nodes.c.id == FOLLOWER)
        row = reading.session.execute(found).one()
    assert (row.kind, row.name, row.key_id) == ("node", f"{FOLLOWER}.internal", None)


def _known(installation: Installation) -> Any:
    with installation.node.database.read(installation.node.clock.now()) as reading:
        found = select(tables.nodes).where(tables.nodes.c.kind == "embedded")
        return reading.session.execute(found).one()


def test_a_follower_whose_lease_cant_be_recorded_gets_none(
    any_installation: Installation, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = any_installation.node
    object.__setattr__(node.settings, "max_staleness", 1)

    def full(reading: Reading, *_: Any) -> bool:
        raise OSError("no space left")

    feed = Feed(loop, any_installation.app, any_installation.verifier_key())
    last = feed.reached()
    monkeypatch.setattr("gatepass.registry.replication.liveness.report", full)
    began_ns = node.clock.boot_ns()
    while (frame := feed.next()) is not None:
        assert isinstance(frame, Reached)
        last = frame
        assert last.asked_boot_ns - began_ns < 1_000_000_000
    # A receipt waits for it until two seconds after its last recorded lease.
    assert last.asked_boot_ns - began_ns < 600_000_000


@pytest.mark.parametrize(
    "place",
    [
        "gatepass.registry.storage.revisions.overview",
        "gatepass.registry.replication.liveness.register",
    ],
)
def test_an_unexpected_error_is_an_outage_and_leaves_no_stream_waiting(
    open_feed: OpenFeed,
    any_installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("gpvk_something that may be a secret")

    with monkeypatch.context() as patched:
        patched.setattr(place, broken)
        refused = open_feed()
        assert refused.status == 503
        assert b"something" not in refused.body
    assert open_feed().status == 200


def test_a_follower_that_is_deleted_while_it_loads_gets_no_lease(
    any_installation: Installation, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unregistered verifier must not allow anything."""
    monkeypatch.setattr("gatepass.registry.replication.liveness.report", lambda *_: False)
    feed = Feed(loop, any_installation.app, any_installation.verifier_key())
    with pytest.raises(AssertionError, match="the stream has ended"):
        feed.reached()


def test_a_key_has_a_limited_number_of_followers(
    open_feed: OpenFeed,
    any_installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("gatepass.registry.replication.liveness.MOST_PER_KEY", 2)
    ids = [f"node_{number:016}" for number in range(4)]
    for id in ids[:2]:
        open_feed(node=id).reached()
    for id in ids[2:]:
        refused = open_feed(node=id)
        if refused.status == 503:
            # The registry was busy: followers ask again.
            refused = open_feed(node=id)
        assert refused.status == 409, refused.body
        assert b"too_many_followers" in refused.body
    assert len([each for each in caplog.records if "has 2 followers already" in each.message]) == 1
    open_feed(node=ids[0]).reached()


def test_a_stop_ends_streams(open_feed: OpenFeed, any_installation: Installation) -> None:
    feed = open_feed()
    feed.reached()
    any_installation.node.leave()
    feed.ended()
