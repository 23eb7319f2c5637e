"""A service's copy of the grants, followed by one of its processes."""

import threading
from pathlib import Path
from typing import Any

import pytest

from gatepass import Misconfigured, Verifier
from gatepass.core.catalogue import parse_catalogue
from gatepass.core.credentials import make
from gatepass.core.published_catalogue import records
from gatepass.verify.replica.database_follower import NodeLock
from tests.support.feed.following import Follow, at_work
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed
from tests.support.grants.grant_fixtures import CATALOGUE, Samples, reason, until_decided
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_service_decides_by_its_own_copy_and_a_deactivation_comes_over_the_feed(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    verifier = follow()
    assert reason(verifier, samples.texts["good"]) == "allowed"
    feed.commit(samples.changed("good", deactivated=True), removed=[samples.grants["login"].id])
    until_decided(verifier, samples.texts["good"], "token_deactivated")
    assert reason(verifier, samples.texts["login"]) == "token_invalid"
    # It needed no other connection.
    assert len(feed.asked) == 1


def test_the_installations_catalogue_arrives_with_the_grants_and_changes_without_a_restart(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    verifier, call = follow(), {"method": "GET", "path": "/v1/charges/report"}
    text = samples.texts["good"]
    assert verifier.check(text, **call).reason == "route_unknown"
    feed.commit(*records(parse_catalogue(CATALOGUE)))
    until(lambda: verifier.check(text, **call).reason == "allowed")
    feed.commit(*records(parse_catalogue(CATALOGUE.replace("{id}", "report", 1))))
    until(lambda: verifier.check(text, method="GET", path="/v1/charges/1").allowed is False)
    feed.commit(*records(parse_catalogue(CATALOGUE.replace("charges:get", "reports:get"))))
    until(lambda: verifier.check(text, **call).reason == "permission_missing")


def test_it_acknowledges_the_position_it_has_reached(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    verifier = follow()
    for _ in range(20):
        feed.commit(samples.changed("good", deactivated=True))
    node = dict(feed.asked[0].query)["node"]
    latest = {"node": node, "revision": feed.position[0], "tag": feed.position[1]}
    until(lambda: ("acknowledgement", latest) in feed.told)
    assert reason(verifier, samples.texts["good"]) == "token_deactivated"
    # In quick succession, they are told as one.
    assert len([what for what, _ in feed.told if what == "acknowledgement"]) < 10


def test_limits_are_requested_and_other_limits_start_over(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    limits = {"companies": ["cmp_2", "cmp_1"], "permissions": {"charges:get"}}
    follow(**limits).close()
    follow(**limits).close()
    follow(companies=["cmp_1"]).close()
    asked = [connection.query[3:] for connection in feed.asked]
    limited = [("company", "cmp_1"), ("company", "cmp_2"), ("permission", "charges:get")]
    assert asked[0] == limited
    assert [name for name, _ in asked[1]] == ["revision", "tag", *(name for name, _ in limited)]
    assert asked[2] == [("company", "cmp_1")]


def test_a_copy_with_other_limits_decides_nothing(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """Neither a copy that was left with other limits, nor one that another process follows now."""
    follow().close()
    serve, feed.script = feed.script, lambda connection: connection.answer("503 Stale", b"{}")
    narrow = follow(companies=["cmp_1"], wait=0.2)
    assert reason(narrow, samples.texts["good"]) in ("stale", "unavailable")
    narrow.close()
    feed.script = serve
    for limits in ({"companies": ["cmp_1"]}, {"companies": ["cmp_2"]}, {}):
        # Where it returns in time, it decides.
        verifier = follow(**limits)
        assert reason(verifier, samples.texts["good"]) == "allowed"
        verifier.close()
    leading = follow()
    assert reason(leading, samples.texts["good"]) == "allowed"
    narrow = follow(companies=["cmp_1"], wait=0.2)
    assert reason(narrow, samples.texts["good"]) == "unavailable"


@pytest.mark.parametrize(
    "limits",
    [
        {"companies": "cmp_1"},
        {"companies": [""]},
        {"companies": ["a&b"]},
        {"permissions": "charges:get"},
        {"permissions": ["charges"]},
        {"permissions": ["*"]},
        {"companies": [f"cmp_{number}" for number in range(201)]},
    ],
)
def test_invalid_limits_are_refused(follow: Follow, limits: Any) -> None:
    """A text is no list: its characters would be the companies."""
    with pytest.raises(Misconfigured):
        follow(**limits)


def test_a_refused_process_lets_another_follow(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """A key that was replaced in one process of a service must not stop the others."""
    serve, newer = feed.script, make("gpvk")

    def ended(connection: Connection) -> None:
        if newer.text in connection.headers["authorization"]:
            serve(connection)
        else:
            connection.answer("401 Unauthorized", b"{}")

    leading, ready = follow(), follow(key=newer.text)
    feed.script = ended
    feed.cut()
    feed.commit(samples.changed("good", deactivated=True))
    until_decided(ready, samples.texts["good"], "token_deactivated")
    assert reason(leading, samples.texts["good"]) == "token_deactivated"


def test_a_catalogue_lets_one_ask_by_method_and_path(
    samples: Samples, follow: Follow, tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text('permissions:\n  charges:get: {routes: ["GET /charges/{id}"]}\n')
    verifier = follow(catalogue=catalogue)
    assert verifier.check(samples.texts["good"], method="GET", path="/charges/1").allowed


def test_a_closed_verifier_lets_another_process_follow(follow: Follow, directory: Path) -> None:
    before = set(threading.enumerate())
    verifier = follow()
    verifier.close()
    assert not at_work(before)
    lock = NodeLock(directory / "followed.db-lock")
    assert lock.acquire()
    lock.close()


def test_a_garbage_collected_verifier_stops_its_threads(
    feed: ScriptedFeed, directory: Path
) -> None:
    verifier = Verifier.follow(feed.url, key=KEY.text, directory=directory)
    del verifier
