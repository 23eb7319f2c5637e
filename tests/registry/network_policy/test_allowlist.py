"""A company's allowlist: it applies at once, and nobody locks themselves out for good."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.networks import parse_network
from gatepass.registry.actor import Actor
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.network_policy import allowlist, allowlist_entries
from gatepass.registry.network_policy.allowlist import TRIAL_MS
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry
from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import ADDRESS, SmallRegistry, nothing_changes

OFFICE = Entry("198.51.100.0/24", "Office")


def put(registry: SmallRegistry, actor: Actor, *entries: Entry, **options: Any) -> list[Entry]:
    with registry.write() as change:
        company = registry.northwind.id
        answered = allowlist.replace(change, actor, company, entries, **options)
        assert answered == allowlist.show(change, Actor.command_line(), company)
    return list(answered.entries)


def shown(registry: SmallRegistry) -> Allowlist:
    return registry.ask(allowlist.show, Actor.command_line(), registry.northwind.id)


def test_a_saved_list_applies_at_once(registry: SmallRegistry, ada: Actor) -> None:
    _, token = registry.token(ada)
    typed = Entry("198.51.100.77/24", "Office")
    assert put(registry, ada, typed, OFFICE, Entry("2001:DB8::/32")) == [
        OFFICE,
        Entry("2001:db8::/32"),
    ]
    assert shown(registry).entries == (OFFICE, Entry("2001:db8::/32"))
    assert registry.reason(token, address="198.51.100.1") is Reason.allowed
    assert registry.reason(token, address="9.9.9.9") is Reason.company_address_not_allowed
    assert registry.reason(token) is Reason.company_address_not_allowed
    events = len(registry.events())
    put(registry, ada, OFFICE, Entry("2001:db8::/32"))
    assert len(registry.events()) == events
    put(registry, ada)
    assert registry.reason(token, address="9.9.9.9") is Reason.allowed


def test_roles_stay_when_the_allowlist_changes(registry: SmallRegistry, ada: Actor) -> None:
    put(registry, ada, OFFICE)
    token, _ = registry.token(ada)
    assert registry.get(token).effective_permissions == ("charges:create",)


def test_a_list_without_ones_own_address_is_refused(registry: SmallRegistry) -> None:
    for address in ("203.0.113.1", None):
        actor = registry.signed_in(registry.ada, address)
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            put(registry, actor, OFFICE)
        assert refusal.value.reason == "would_lock_you_out"
        assert put(registry, actor) == []
    assert put(registry, Actor.command_line(), OFFICE) == [OFFICE]


def test_required_permissions(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), registry.colleague("manager")
    carl = registry.signed_in(registry.carl)
    rita = registry.colleague("customer-service", "Rita")
    token = registry.with_token(registry.token(ada, permissions=["company:*"])[0])
    put(registry, ada, OFFICE)
    with nothing_changes(registry), registry.read() as reading:
        for actor, wanted in ((bob, "permission_missing"), (token, "signed_in_user_required")):
            assert allowlist.show(reading, actor, registry.northwind.id).entries == (OFFICE,)
            with pytest.raises(Forbidden) as refusal:
                allowlist.replace(reading, actor, registry.northwind.id, [])
            assert refusal.value.reason == wanted
        with pytest.raises(Forbidden):
            allowlist.show(reading, rita, registry.northwind.id)
        for company in (registry.northwind.id, "com_none"):
            with pytest.raises(NotFound):
                allowlist.show(reading, carl, company)
    with nothing_changes(registry):
        for company in (registry.northwind.id, "com_none"):
            with pytest.raises(NotFound):
                registry.do(allowlist.replace, carl, company, [])


def test_errors_name_the_entry(registry: SmallRegistry, ada: Actor) -> None:
    with nothing_changes(registry):
        with pytest.raises(InvalidInput) as refusal:
            put(registry, ada, OFFICE, Entry("10.0.0.0/99"), Entry("10.0.0.1", "a\0b"))
        assert [field for field, _ in refusal.value.errors] == [
            "entries.1.network",
            "entries.2.note",
        ]
        many = [Entry(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}") for n in range(10_001)]
        with pytest.raises(InvalidInput) as refusal:
            put(registry, ada, *many)
        assert [field for field, _ in refusal.value.errors] == ["entries"]
    assert len(put(registry, ada, OFFICE, *many[:9_999])) == 10_000


# --- trials ----------------------------------------------------------------------------------

HOME = Entry("203.0.113.0/24", "Home")
AT_HOME = "203.0.113.9"


def test_a_confirmed_list_without_ones_own_address_is_a_trial_that_ends(
    registry: SmallRegistry, ada: Actor
) -> None:
    _, token = registry.token(ada)
    put(registry, ada, OFFICE)
    settled = shown(registry)
    assert put(registry, ada, HOME, confirm=True) == [HOME]
    until = registry.now + TRIAL_MS
    assert shown(registry) == Allowlist((HOME,), until, (OFFICE,))
    assert shown(registry).falls_back_to == (OFFICE,)
    registry.now = until - 1
    assert registry.reason(token, address=AT_HOME) is Reason.allowed
    assert registry.reason(token, address=ADDRESS) is Reason.company_address_not_allowed
    registry.now = until
    assert registry.reason(token, address=AT_HOME) is Reason.company_address_not_allowed
    assert registry.reason(token, address=ADDRESS) is Reason.allowed
    assert shown(registry) == settled
    assert allowlist_entries.etag(shown(registry)) == allowlist_entries.etag(settled)
    last = registry.events()[-1]
    assert (last.action, last.before) == ("allowlist.trial_started", settled.readable())
    assert last.after == {
        "entries": [{"network": HOME.network, "note": "Home"}],
        "trial_until": until,
    }
    events = len(registry.events())
    put(registry, ada, OFFICE)
    assert len(registry.events()) == events


def test_saving_a_trial_again_from_an_admitted_address_settles_it(registry: SmallRegistry) -> None:
    ada, at_home = registry.signed_in(registry.ada), registry.signed_in(registry.ada, AT_HOME)
    put(registry, ada, HOME, confirm=True)
    registry.now += TRIAL_MS - 1
    put(registry, at_home, HOME)
    assert shown(registry) == Allowlist((HOME,), None, (HOME,))
    last = registry.events()[-1]
    assert last.action == "allowlist.changed"
    assert last.before is not None
    assert "trial_until" in last.before
    registry.now += 2 * TRIAL_MS
    assert shown(registry).entries == (HOME,)


def test_a_trial_during_a_trial_ends_with_the_settled_list(registry: SmallRegistry) -> None:
    ada, at_home = registry.signed_in(registry.ada), registry.signed_in(registry.ada, AT_HOME)
    put(registry, ada, HOME, confirm=True)
    registry.now += 1000
    put(registry, at_home, OFFICE, confirm=True)
    assert shown(registry) == Allowlist((OFFICE,), registry.now + TRIAL_MS, ())
    registry.now += TRIAL_MS
    assert shown(registry) == Allowlist((), None, ())


def test_confirm_changes_nothing_for_a_list_with_ones_own_address(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    put(registry, ada, OFFICE, confirm=True)
    assert shown(registry) == Allowlist((OFFICE,), None, (OFFICE,))
    put(registry, registry.signed_in(registry.ada), confirm=True)
    assert shown(registry) == Allowlist((), None, ())


def test_lifting_and_the_command_line_end_a_trial(registry: SmallRegistry, ada: Actor) -> None:
    for actor in (registry.signed_in(registry.ada, AT_HOME), Actor.command_line()):
        put(registry, ada, HOME, confirm=True)
        put(registry, actor)
        assert shown(registry) == Allowlist((), None, ())
        rules = registry.ask(published_rules, registry.northwind.id)
        assert (rules.allowlist, rules.trial) == (None, None)
        assert registry.events()[-1].action == "allowlist.lifted"


def test_republishing_a_companys_rules_keeps_the_trial(registry: SmallRegistry, ada: Actor) -> None:
    put(registry, ada, HOME, confirm=True)
    more = parse_catalogue(
        "permissions:\n  payouts:get: {title: See, routes: ['GET /v1/payouts/{id}']}"
    )
    before = registry.ask(published_rules, registry.northwind.id)
    assert follow_catalogue(registry.database, more, registry.now)
    after = registry.ask(published_rules, registry.northwind.id)
    assert after.roles != before.roles
    assert after.trial == before.trial
    assert after.trial is not None


def test_a_stale_if_match_is_refused(registry: SmallRegistry, ada: Actor) -> None:
    seen = [allowlist_entries.etag(shown(registry))]
    put(registry, ada, OFFICE, if_match=seen)
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        put(registry, ada, if_match=seen)
    assert refusal.value.reason == "changed_meanwhile"
    assert refusal.value.current == shown(registry)
    seen = [allowlist_entries.etag(shown(registry))]
    put(registry, ada, Entry(OFFICE.network, "another note"), if_match=seen)
    with pytest.raises(Conflict):
        put(registry, ada, HOME, confirm=True, if_match=seen)
    seen = [allowlist_entries.etag(shown(registry))]
    put(registry, ada, HOME, confirm=True, if_match=seen)
    assert allowlist_entries.etag(shown(registry)) not in seen


def test_an_actor_whose_address_was_removed_is_refused(registry: SmallRegistry) -> None:
    ada, at_home = registry.signed_in(registry.ada), registry.signed_in(registry.ada, AT_HOME)
    put(registry, at_home, HOME)
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        put(registry, ada, OFFICE)
    assert refusal.value.reason == "company_address_not_allowed"


ADDRESSES = {"a": "198.51.100.7", "b": "203.0.113.9", "c": "2001:db8::7"}
lists = st.lists(st.sampled_from(sorted(ADDRESSES)), unique=True)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(ADDRESSES)), lists, st.booleans()),
        st.integers(min_value=1, max_value=TRIAL_MS * 3 // 2),
        st.sampled_from((TRIAL_MS - 1, TRIAL_MS)),
    ),
    max_size=8,
)


@dataclass
class Model:
    """A model of a company's allowlist."""

    settled: list[str] = field(default_factory=list)
    trial: list[str] | None = None
    ends: int = 0

    def counts(self, now: int) -> list[str]:
        return self.trial if self.trial is not None and now < self.ends else self.settled

    def admits(self, caller: str, now: int) -> bool:
        return not self.counts(now) or caller in self.counts(now)

    def put(self, caller: str, wanted: list[str], confirm: bool, now: int) -> None:
        if not self.admits(caller, now):
            return
        if not wanted or caller in wanted:
            self.settled, self.trial = wanted, None
        elif confirm:
            self.trial, self.ends = wanted, now + TRIAL_MS


@contextmanager
def fresh(template: Path, path: Path) -> Iterator[SmallRegistry]:
    copy(template, path)
    database = Database(f"sqlite:///{path}")
    yield SmallRegistry(database)
    database.close()


@pytest.mark.slow
@settings(max_examples=40)
@given(steps=steps)
def test_random_saves_and_times_agree_with_a_model(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    with fresh(sqlite_template, folder / "gatepass.db") as registry:
        actors = {
            name: registry.signed_in(registry.ada, address) for name, address in ADDRESSES.items()
        }
        _, token = registry.token(actors["a"])
        model = Model()
        for step in steps:
            if isinstance(step, int):
                registry.now += step
            else:
                caller, wanted, confirm = step
                try:
                    entries = [Entry(ADDRESSES[name]) for name in wanted]
                    put(registry, actors[caller], *entries, confirm=confirm)
                except (Conflict, Forbidden):
                    pass
                model.put(caller, wanted, confirm, registry.now)
            counts = model.counts(registry.now)
            for name, address in ADDRESSES.items():
                allowed = registry.reason(token, address=address) is Reason.allowed
                assert allowed is (not counts or name in counts)
            on_trial = model.trial is not None and registry.now < model.ends
            found = shown(registry)
            assert found.trial_until == (model.ends if on_trial else None)
            for entries, names in ((found.entries, counts), (found.settled, model.settled)):
                networks = [parse_network(ADDRESSES[name]) for name in names]
                assert [entry.network for entry in entries] == [str(one) for one in networks]
