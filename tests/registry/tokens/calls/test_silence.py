"""A replaced token closes when it is silent, and no verifier that hasn't reported makes it so."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from gatepass.core.decision import Reason
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.actor import Actor, Person
from gatepass.registry.replication import liveness
from gatepass.registry.replication.use_reports import LATE_MS
from gatepass.registry.storage.tables import nodes
from gatepass.registry.tokens import rotation
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.ending.closing import close_silent
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.rotation_records import Rotation
from gatepass.verify.spools import Batch
from tests.support.database.small_registry import HOUR, MINUTE, NOW, SmallRegistry
from tests.support.grants.fake_verifiers import (
    STALENESS,
    by_the_sessions_time,
    register,
    report_use,
)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the session's time on PostgreSQL, too."""
    by_the_sessions_time(monkeypatch)


class Closings:
    """A token of Ada's that was replaced, and closes after an hour of silence."""

    def __init__(self, registry: SmallRegistry, ada: Actor, silent_for: int = 3_600) -> None:
        self.registry = registry
        self.token, self.text = registry.token(ada)
        closing = Closing("when_silent", silent_for=silent_for)
        registry.do(rotation.rotate, ada, self.token.id, closing)
        self.lines = 0

    def use(self, at: int, address: str = "203.0.113.7", reason: str = "allowed") -> None:
        """Fold a call with the token."""
        self.lines += 1
        tokens = {self.token.id: (1, at, address, "charges:create")}
        batch = Batch(tokens if reason == "allowed" else {}, {reason: 1})
        what = ObservedCall(reason, ("charges:create",), None, None, address, None)
        call = CountedCall(self.token.id, reason == "allowed", what, 1, at, at)
        self.registry.auxiliary(usage.fold, f"{self.token.id}-{self.lines}", 0, 1, [batch], [call])

    def round(self, now: int) -> int:
        self.registry.now = now
        return close_silent(self.registry.database, lambda: self.registry.now)

    def closes_at(self, now: int) -> bool:
        """Whether a round at *now* closes the token; it must be the last look at it."""
        closed = self.round(now) == 1
        assert (self.read().status == "deactivated") == closed
        return closed

    def read(self) -> AccessToken:
        return self.registry.get(self.token)

    @property
    def rotation(self) -> Rotation:
        found = self.read().rotation
        assert found is not None
        return found

    def register(self, *names: str, now: int = NOW, limits: object = None) -> None:
        register(self.registry.database, now, *names, limits=limits)

    def report(self, name: str, now: int, until: int) -> None:
        report_use(self.registry.database, now, name, until)


@pytest.fixture
def closings(registry: SmallRegistry, ada: Actor) -> Closings:
    return Closings(registry, ada)


def test_it_closes_after_its_silence(closings: Closings) -> None:
    closings.use(NOW + 10 * MINUTE)
    assert closings.round(NOW + 70 * MINUTE - 1) == 0
    assert closings.read().status == "active"
    assert closings.round(NOW + 70 * MINUTE) == 1
    assert closings.round(NOW + 70 * MINUTE) == 0
    closed = closings.read()
    assert (closed.status, closed.deactivated_by) == ("deactivated", Person("rotation", "rotation"))
    assert closings.registry.reason(closings.text) is Reason.token_deactivated
    assert closings.rotation.callers == () == closings.rotation.waiting_for
    event = closings.registry.events(closings.registry.northwind)[-1]
    assert (event.action, event.actor_kind) == ("access_token.deactivated", "system")


def test_the_record_shows_who_still_calls(closings: Closings) -> None:
    closings.use(NOW + MINUTE, "203.0.113.7")
    closings.use(NOW + 5 * MINUTE, "203.0.113.8")
    closings.registry.now = NOW + 30 * MINUTE
    found = closings.rotation
    assert [
        (caller.address, caller.permission, caller.last_at, caller.count)
        for caller in found.callers
    ] == [
        ("203.0.113.8", "charges:create", NOW + 5 * MINUTE, 1),
        ("203.0.113.7", "charges:create", NOW + MINUTE, 1),
    ]
    assert found.silence is not None
    assert (found.silence.lasted_ms, found.silence.silent_for_ms) == (25 * MINUTE, HOUR)
    closings.registry.now = NOW + 62 * MINUTE
    assert [caller.address for caller in closings.rotation.callers] == ["203.0.113.8"]


def test_a_refused_call_is_no_silence(closings: Closings) -> None:
    closings.use(NOW + 10 * MINUTE, reason="permission_missing")
    assert closings.rotation.callers == ()
    assert not closings.closes_at(NOW + HOUR)


@pytest.mark.slow
def test_a_verifier_that_never_reported_is_waited_for(closings: Closings) -> None:
    closings.register("node_a")
    for now in range(NOW, NOW + 3 * HOUR, STALENESS):
        closings.register("node_a", now=now)
    assert closings.round(now) == 0
    assert closings.rotation.waiting_for == ("node_a.internal",)


def test_silence_counts_up_to_the_oldest_report(closings: Closings) -> None:
    end = NOW + 61 * MINUTE
    closings.register("node_a", "node_b", now=end)
    closings.report("node_a", end, end)
    closings.report("node_b", end, NOW + 59 * MINUTE)
    assert closings.round(end) == 0
    # It reports every few seconds; this isn't late.
    closings.registry.now = NOW + 59 * MINUTE + LATE_MS - 1
    assert closings.rotation.waiting_for == ()
    closings.registry.now = end
    assert closings.rotation.waiting_for == ("node_b.internal",)
    # What it has to tell is a call.
    closings.use(NOW + 60 * MINUTE)
    closings.report("node_b", end, end)
    assert closings.round(end) == 0
    assert closings.rotation.waiting_for == ()


def test_a_dead_verifier_may_have_allowed_until_its_lease_ended(closings: Closings) -> None:
    died = NOW + 30 * MINUTE
    closings.register("node_a", now=died)
    closings.report("node_a", died, died - 1)
    allowed_until = died + 2 * STALENESS
    assert closings.round(allowed_until + HOUR - 1) == 0
    assert closings.rotation.waiting_for == ("node_a.internal",)
    assert closings.closes_at(allowed_until + HOUR)


def test_a_dead_verifier_that_reported_everything_holds_nothing_up(closings: Closings) -> None:
    died = NOW + 30 * MINUTE
    closings.register("node_a", now=died)
    later = died + 2 * STALENESS
    with closings.registry.database.auxiliary_write(later) as write:
        liveness.report(write, "node_a", None, died, later)
    assert closings.closes_at(NOW + HOUR)


def test_a_deleted_verifier_is_not_forgotten(closings: Closings) -> None:
    died = NOW + 30 * MINUTE
    closings.register("node_a", now=died)
    closings.registry.now = died + 50 * MINUTE
    closings.registry.auxiliary(liveness.forget, 10 * MINUTE)
    assert closings.round(died + 2 * STALENESS + HOUR - 1) == 0
    assert closings.closes_at(died + 2 * STALENESS + HOUR)


def test_verifiers_of_other_companies_say_nothing(closings: Closings) -> None:
    end = NOW + HOUR
    closings.register("node_a", now=end, limits={"companies": [closings.registry.contoso.id]})
    assert closings.closes_at(end)


def test_verifiers_of_this_company_do(closings: Closings) -> None:
    end = NOW + HOUR
    limits = {"companies": [closings.registry.northwind.id], "permissions": []}
    closings.register("node_a", now=end, limits=limits)
    assert not closings.closes_at(end)


def test_several_close_in_one_round(registry: SmallRegistry, ada: Actor) -> None:
    several = [Closings(registry, ada, silent_for) for silent_for in (3_600, 3_600, 7_200)]
    assert several[0].round(NOW + HOUR) == 2
    assert [each.read().status for each in several] == ["deactivated", "deactivated", "active"]


#: What happens at each step of five minutes: a verifier allows a call, some of them report.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, None, "node_a", "node_b"]),
        st.sampled_from([(), ("node_a",), ("node_a", "node_b"), ("node_a", "node_b")]),
    ),
    max_size=30,
)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, dies=st.integers(0, 30))
def test_a_used_token_is_never_closed_before_its_silence(
    sqlite_registry: SmallRegistry,
    steps: list[tuple[str | None, tuple[str, ...]]],
    dies: int,
) -> None:
    """However late calls become known, none was made within an hour before it closes."""
    registry = sqlite_registry
    registry.now = NOW
    with registry.database.auxiliary_write(NOW) as write:
        write.session.execute(delete(nodes))
    case = Closings(registry, registry.signed_in(registry.ada))
    uses, alive = [NOW], {"node_a", "node_b"}
    untold: dict[str, list[int]] = {"node_a": [], "node_b": []}
    for number, (user, reporters) in enumerate(steps):
        now = NOW + 5 * MINUTE * number
        if number == dies:
            alive.discard("node_a")
        case.register(*sorted(alive), now=now)
        if user in alive:
            untold[user].append(now)
            uses.append(now)
        for name in alive.intersection(reporters):
            for at in untold.pop(name, []):
                case.use(at)
            untold[name] = []
            case.report(name, now, now)
        case.round(now)
        if case.read().status == "deactivated":
            assert now - max(uses) >= HOUR
            return
