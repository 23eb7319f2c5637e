"""``Verifier.watch``: a call that goes on is decided again, and its callback told once."""

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gatepass.core.decision import Decision
from gatepass.core.errors import Unavailable
from gatepass.core.grants import CompanyRules, Holder, Rehearsal, Trial
from gatepass.verify.periodic_task import PeriodicTask
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import ROUTES, START_MS, Clocks, Samples, networks
from tests.support.waiting import until

Told = list[str]
GET = {"permission": "charges:get"}
ADDRESS = "198.51.100.7"


@pytest.fixture
def watched(samples: Samples, verifier: Verifier) -> Callable[..., Told]:
    """Watches an allowed call of a token; what its callback was told."""

    def watch(name: str = "good", **call: Any) -> Told:
        decision = verifier.check(samples.texts[name], **(call or GET))
        assert decision.allowed
        told: Told = []
        verifier.watch(decision, told.append)
        return told

    return watch


def a_round(verifier: Verifier) -> None:
    """Wait until every watched call was decided by the current grants."""
    watching, shared = verifier._watching, verifier.file.shared
    until(lambda: watching._span is not None and watching._span.generation == shared.generation)


DEVELOPER = frozenset({"charges:create", "charges:get"})
CHANGES: list[tuple[str, Callable[[Samples], None], str]] = [
    ("deactivation", lambda s: s.change("good", deactivated=True), "token_deactivated"),
    ("pending", lambda s: s.change("good", deactivated=True, pending=True), "token_pending"),
    ("rotation", lambda s: s.change("good", expires_at=START_MS), "token_expired"),
    ("owner", lambda s: s.put(Holder("usr_dev", "cmp_1", False, "dev")), "account_deactivated"),
    (
        "allowlist",
        lambda s: s.put(
            CompanyRules("cmp_1", True, networks("203.0.113.0/24"), {"developer": DEVELOPER})
        ),
        "company_address_not_allowed",
    ),
    (
        "networks",
        lambda s: s.change("good", networks=networks("2001:db8::/32")),
        "address_not_allowed",
    ),
    (
        "role",
        lambda s: s.put(
            CompanyRules("cmp_1", True, None, {"developer": DEVELOPER - {"charges:get"}})
        ),
        "permission_missing",
    ),
    (
        "permission",
        lambda s: s.change("good", permissions=frozenset({"charges:create"})),
        "permission_missing",
    ),
    ("secret", lambda s: s.change("good", digest=b"another"), "token_invalid"),
]


@pytest.mark.parametrize(
    ("change", "reason"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_change_ends_the_call(
    samples: Samples,
    watched: Callable[..., Told],
    change: Callable[[Samples], None],
    reason: str,
) -> None:
    by_permission = watched(address=ADDRESS, **GET)
    by_route = watched(method="GET", path="/v1/charges/1", address=ADDRESS)
    change(samples)
    until(lambda: by_permission and by_route)
    assert by_permission == by_route == [reason]


def test_a_call_that_is_still_allowed_goes_on(
    samples: Samples, verifier: Verifier, watched: Callable[..., Told]
) -> None:
    """Also one whose token changed, and a login's."""
    told, of_a_login = watched(address=ADDRESS, **GET), watched("login")
    samples.change("good", label="renamed", networks=networks("198.51.0.0/16"))
    a_round(verifier)
    assert told == of_a_login == []
    samples.change("login", deactivated=True)
    until(lambda: of_a_login)
    assert told == []


def test_time_ends_calls(samples: Samples, clocks: Clocks, watched: Callable[..., Told]) -> None:
    """A token expires, an exception ends, and a list on trial, without any change."""
    a_minute, two = START_MS + 60_000, START_MS + 120_000
    excepted = samples.token(
        "excepted", permissions=frozenset({"charges:get"}), exceptions={"charges:create": two}
    )
    roles = {"developer": frozenset(ROUTES.values())}
    tried = CompanyRules(
        "cmp_listed", True, networks("192.0.2.0/24"), roles, Trial(networks(f"{ADDRESS}/32"), two)
    )
    samples.put(excepted, tried)
    lasting, good = watched("lasting"), watched()
    of_exception = watched("excepted", permission="charges:create")
    held = watched("excepted", permission="charges:get")
    on_trial = watched("listed", address=ADDRESS, **GET)
    clocks.advance((a_minute - START_MS) / 1000)
    until(lambda: lasting)
    assert (lasting, of_exception, on_trial) == (["token_expired"], [], [])
    clocks.advance((two - a_minute) / 1000)
    until(lambda: of_exception and on_trial)
    assert of_exception == ["permission_missing"]
    assert on_trial == ["company_address_not_allowed"]
    assert good == held == []


def test_a_rehearsal_ends_nothing(
    samples: Samples, verifier: Verifier, clocks: Clocks, watched: Callable[..., Told]
) -> None:
    """But what else refuses the call does, during a rehearsal, too."""
    told, expiring = watched(), watched("lasting")
    rehearsal = Rehearsal(START_MS, START_MS + 3_600_000, 100)
    for name in ("good", "lasting"):
        samples.change(name, deactivated=True, rehearsal=rehearsal)
        assert verifier.check(samples.texts[name], **GET).reason == "token_rehearsed"
    a_round(verifier)
    assert told == expiring == []
    clocks.advance(61)
    until(lambda: expiring)
    assert expiring == ["token_expired"]
    samples.change("good", deactivated=True)
    until(lambda: told)
    assert told == ["token_deactivated"]


def test_a_stale_copy_ends_every_call(samples: Samples, clocks: Clocks) -> None:
    verifier = samples.verifier(clocks.clock(), copy=True)
    verifier.file.shared.renew_lease(clocks.boot_ns, clocks.wall_ms, 10_000)
    told: Told = []
    for name in ("good", "login", "good"):
        verifier.watch(verifier.check(samples.texts[name], **GET), told.append)
    clocks.advance(10)
    until(lambda: len(told) == 3)
    assert told == ["stale"] * 3


def test_a_file_that_stays_unreadable_ends_every_call(
    samples: Samples, watched: Callable[..., Told]
) -> None:
    """A moment's lock doesn't: nothing was decided in it, and nothing changed."""
    told = watched()
    samples.connection.execute("ALTER TABLE grants RENAME TO gone")
    samples.file.shared.change_generation()
    until(lambda: told)
    assert told == ["unavailable"]


def test_an_unexpected_error_ends_every_call(
    watched: Callable[..., Told], samples: Samples, verifier: Verifier, monkeypatch: Any
) -> None:
    """Nothing goes on undecided."""
    told = watched()
    monkeypatch.setattr(verifier, "read_again", None)
    samples.change("good", label="renamed")
    until(lambda: told)
    assert told == ["unavailable"]


def test_a_moments_outage_ends_nothing(
    samples: Samples,
    verifier: Verifier,
    watched: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = watched()
    failures = iter((True, True, False))
    records = verifier.file.records
    asked: list[bool] = []

    def failing(table: str, keys: Sequence[str]) -> dict[str, bytes]:
        asked.append(fails := next(failures, False))
        if fails:
            raise Unavailable("the file is locked")
        return records(table, keys)

    monkeypatch.setattr(verifier.file, "records", failing)
    samples.change("good", label="renamed")
    until(lambda: len(asked) > 2)
    monkeypatch.undo()
    a_round(verifier)
    assert told == []


def test_a_call_is_not_forgotten_beside_others_of_its_token(
    samples: Samples, verifier: Verifier, watched: Callable[..., Told]
) -> None:
    """Each is decided after its watch began, although the token's rows are as in the round before;
    and what a new one meets is decided for the former ones as well."""
    late = verifier.check(samples.texts["good"], **GET)
    former = watched(permission="charges:create")
    samples.change("good", permissions=frozenset({"charges:create"}))
    a_round(verifier)
    told: Told = []
    verifier.watch(late, told.append)
    until(lambda: told)
    assert (told, former) == (["permission_missing"], [])


def test_a_change_that_is_taken_back_counts(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are those of the last round, but another call was begun in between."""
    monkeypatch.setattr(PeriodicTask, "start", lambda task: None)
    watching, narrow = verifier._watching, frozenset({"charges:create"})
    samples.change("good", permissions=narrow)
    verifier.watch(verifier.check(samples.texts["good"], permission="charges:create"), print)
    watching._work()
    samples.change("good", permissions=narrow | {"charges:get"})
    told: Told = []
    verifier.watch(verifier.check(samples.texts["good"], **GET), told.append)
    watching._rest_until = math.inf
    watching._work()
    assert told == []
    samples.change("good", permissions=narrow)
    watching._rest_until = 0.0
    watching._work()
    assert told == ["permission_missing"]


def test_a_change_between_decision_and_watch_counts(samples: Samples, verifier: Verifier) -> None:
    decision = verifier.check(samples.texts["good"], **GET)
    samples.change("good", deactivated=True)
    told: Told = []
    verifier.watch(decision, told.append)
    until(lambda: told)
    assert told == ["token_deactivated"]


@pytest.mark.parametrize("name", ["deactivated", "unknown", None])
def test_a_refused_call_ends_at_once(
    samples: Samples, verifier: Verifier, name: str | None
) -> None:
    decision = verifier.check(None if name is None else samples.texts[name], **GET)
    told: Told = []
    verifier.watch(decision, told.append)
    until(lambda: told)
    assert told == [decision.reason]


def test_a_cancelled_watch_is_silent(
    samples: Samples, verifier: Verifier, watched: Callable[..., Told]
) -> None:
    told: Told = []
    other_token = watched("login")
    decision = verifier.check(samples.texts["good"], **GET)
    watch = verifier.watch(decision, told.append)
    watch.cancel()
    watch.cancel()
    samples.change("good", deactivated=True)
    other = verifier.watch(decision, lambda reason: other.cancel())
    a_round(verifier)
    assert told == other_token == []


def test_a_callback_that_fails_keeps_no_other_from_being_told(
    samples: Samples,
    verifier: Verifier,
    watched: Callable[..., Told],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(reason: str) -> None:
        raise RuntimeError("with a secret")

    for _ in range(3):
        verifier.watch(verifier.check(samples.texts["good"], **GET), fail)
    told = watched()
    samples.change("good", deactivated=True)
    until(lambda: told)
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert [line.getMessage() for line in lines] == ["a callback of watch failed: RuntimeError"]


def test_it_is_no_use_of_the_token(samples: Samples, clocks: Clocks) -> None:
    noted: list[Decision] = []

    class Counter:
        def note(self, decision: Decision, now: int) -> None:
            noted.append(decision)

        def note_again(self, use: Any, now: int) -> None:
            noted.append(use)

    verifier = samples.verifier(clocks.clock(), usage=Counter())
    decision = verifier.check(samples.texts["good"], **GET)
    told: Told = []
    verifier.watch(decision, told.append)
    samples.change("good", deactivated=True)
    until(lambda: told)
    assert noted == [decision]


def test_a_token_is_read_once_for_all_of_its_calls(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Told = []
    for number in range(50):
        decision = verifier.check(samples.texts["good"], address=f"10.0.0.{number}", **GET)
        verifier.watch(decision, told.append)
    a_round(verifier)
    reads: list[str] = []
    records = verifier.file.records

    def counted(table: str, keys: Sequence[str]) -> dict[str, bytes]:
        reads.extend(keys)
        return records(table, keys)

    monkeypatch.setattr(verifier.file, "records", counted)
    samples.change("good", label="renamed")
    a_round(verifier)
    assert set(reads) == {samples.grants["good"].id, "usr_dev", "cmp_1"}
    # A change is two generations, each with a round.
    assert len(reads) <= 2 * 3
    assert told == []


def test_a_fork_forgets_its_parents_calls(samples: Samples, verifier: Verifier) -> None:
    told = threading.Event()
    verifier.watch(verifier.check(samples.texts["good"], **GET), lambda reason: told.set())
    child = os.fork()
    if child == 0:
        fresh: Told = []
        watching = verifier._watching
        ok = not watching._watches and watching._task is None
        verifier.watch(verifier.check(samples.texts["login"], **GET), fresh.append)
        mine = samples.in_this_process()
        mine.put(replace(mine.grants["login"], deactivated=True))
        until(lambda: fresh)
        os._exit(0 if ok and fresh == ["token_deactivated"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not told.is_set()
    samples.change("good", deactivated=True)
    assert told.wait(60)


def test_the_thread_ends_when_nothing_is_watched(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepass.verify.watching._IDLE_ROUNDS", 1)
    decision = verifier.check(samples.texts["good"], **GET)
    verifier.watch(decision, lambda reason: None).cancel()
    until(lambda: verifier._watching._task is None)
    told: Told = []
    verifier.watch(decision, told.append)
    samples.change("good", deactivated=True)
    until(lambda: told)
