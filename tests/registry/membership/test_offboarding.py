"""Changing roles and deactivating users: at once, and never the last administrator."""

from typing import Any

import pytest
from sqlalchemy import text, update

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, GatepassError, InvalidInput, NotFound
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor
from gatepass.registry.directory import roles, user_roles, user_search, users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import publish
from gatepass.registry.membership import offboarding
from gatepass.registry.storage import tables
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.ending.of_owner import left
from gatepass.registry.tokens.hand_over import Fate, Handling
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import NOW, SmallRegistry, nothing_changes


def change_role(
    registry: SmallRegistry, actor: Actor, user: str, role: str, if_match: Any = None
) -> User:
    return registry.do(user_roles.change_role, actor, user, role=role, if_match=if_match)


def deactivate(registry: SmallRegistry, actor: Actor, user: str, **how: Any) -> User:
    return registry.do(offboarding.deactivate, actor, user, **how)


def refused(registry: SmallRegistry, do: Any, *args: Any) -> tuple[str, str | None]:
    """The reason, and the named permission; nothing was changed."""
    with nothing_changes(registry), pytest.raises(GatepassError) as refusal:
        do(registry, *args)
    return refusal.value.reason, getattr(refusal.value, "permission", None)


def member(registry: SmallRegistry, role: str, name: str = "Bob") -> User:
    return registry.user(registry.northwind, f"{name}@northwind.example".lower(), name, role)


def test_another_role_applies_to_the_next_request(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    _, string = registry.token(registry.signed_in(bob))
    assert registry.reason(string) is Reason.allowed
    changed = change_role(registry, ada, bob.id, "reporting")
    assert (changed.role, changed.status) == ("reporting", "active")
    assert registry.reason(string) is Reason.permission_missing
    (event,) = registry.events(subject=bob.id, action="user.role_changed")
    assert event.before == {"role": "manager", "role_name": "Manager"}
    assert event.after == {"role": "reporting", "role_name": "Reporting"}
    assert change_role(registry, ada, bob.id, "reporting") == changed
    assert len(registry.events(subject=bob.id)) == 2, "the same role is no change"
    with registry.read() as reading:
        now = reading.session.execute(text("SELECT number FROM revision")).scalar_one()
        written = "SELECT count(*) FROM {} WHERE revision >= :last"
        counts = [
            reading.session.execute(text(written.format(table)), {"last": now - 1}).scalar_one()
            for table in ("grants", "holders", "company_rules")
        ]
    assert counts == [0, 1, 0]


def test_deactivating_a_user_deactivates_all_their_tokens(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    acting = registry.signed_in(bob)
    made = [registry.token(acting, label=f"Token {number}") for number in range(4)]
    registry.do(access_tokens.deactivate, acting, made[0][0].id)
    mine, mine_text = registry.token(ada)
    registry.now += 1
    ended = deactivate(registry, ada, bob.id)
    assert (ended.status, ended.deactivated_at) == ("deactivated", NOW + 1)
    assert ended.deactivated_by is not None
    assert ended.deactivated_by.name == "Ada Lovelace"
    assert {registry.reason(string) for _, string in made} == {Reason.token_deactivated}
    assert registry.reason(mine_text) is Reason.allowed
    for token, _ in made[1:]:
        kept = registry.get(token)
        assert (kept.status, kept.deactivated_by) == ("deactivated", ada.person)
        (event,) = registry.events(subject=token.id, action="access_token.deactivated")
        assert (event.actor_name, event.at) == ("Ada Lovelace", NOW + 1)
    assert registry.get(made[0][0]).deactivated_by == acting.person, "ended before, stays as it was"
    (event,) = registry.events(subject=bob.id, action="user.deactivated")
    assert event.after == {"deactivated_at": NOW + 1, "access_tokens": "deactivate"}
    events = registry.events()
    how: Fate
    for how in ("deactivate", "keep"):
        assert deactivate(registry, ada, bob.id, tokens=Handling(how)) == ended
    assert registry.events() == events, "repeating it changes nothing"
    assert registry.get(mine).status == "active"


def test_kept_tokens_stay_listed_and_are_refused(
    registry: SmallRegistry,
) -> None:
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    token, string = registry.token(registry.signed_in(bob))
    deactivate(registry, ada, bob.id, tokens=Handling("keep"))
    assert registry.get(token).status == "active"
    assert registry.reason(string) is Reason.account_deactivated
    assert not registry.events(action="access_token.deactivated")
    with pytest.raises(InvalidInput):
        deactivate(registry, ada, registry.ada.id, tokens=Handling("forget"))  # type: ignore[arg-type] # as typed


def test_thousands_of_tokens_are_deactivated_in_one_change(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepass.registry.tokens.ending.of_owner._BATCH", 3)
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    acting = registry.signed_in(bob)
    made = [registry.token(acting, label=f"Token {number}") for number in range(8)]
    before = registry.revision()
    deactivate(registry, ada, bob.id)
    assert registry.revision() == before + 1
    assert {registry.reason(string) for _, string in made} == {Reason.token_deactivated}
    ends = registry.events(action="access_token.deactivated")
    assert [event.subject.id for event in ends] == [
        token.id for token, _ in sorted(made, key=lambda pair: pair[0].id)
    ]


def test_the_last_administrator_cannot_be_demoted_or_deactivated(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    bob = registry.colleague("manager")
    # This is checked before permissions.
    for actor in (ada, bob):
        assert refused(registry, change_role, actor, registry.ada.id, "manager") == (
            "last_administrator",
            None,
        )
        assert refused(registry, deactivate, actor, registry.ada.id)[0] == "last_administrator"
    assert change_role(registry, ada, registry.ada.id, "admin").role == "admin"
    grace = member(registry, "admin", "Grace")
    deactivate(registry, ada, grace.id)
    assert refused(registry, deactivate, ada, registry.ada.id)[0] == "last_administrator"
    # Another company's administrators don't count, nor does a role that holds everything too.
    everything = registry.do(
        roles.create, ada, catalogue=registry.catalogue, name="Owner", permissions=["*"]
    )
    member(registry, everything.id, "Olga")
    assert refused(registry, change_role, ada, registry.ada.id, everything.id)[0] == (
        "last_administrator"
    )
    ida = member(registry, "admin", "Ida")
    assert change_role(registry, ada, registry.ada.id, "reporting").role == "reporting"
    assert refused(registry, deactivate, registry.signed_in(ida), ida.id)[0] == "last_administrator"


def test_nobody_changes_users_with_more_permissions(registry: SmallRegistry) -> None:
    bob = registry.colleague("manager")
    grace, rita = member(registry, "admin", "Grace"), member(registry, "reporting", "Rita")
    assert refused(registry, change_role, bob, grace.id, "reporting") == ("permission_missing", "*")
    assert refused(registry, deactivate, bob, grace.id) == ("permission_missing", "*")
    assert refused(registry, change_role, bob, rita.id, "admin") == ("permission_missing", "*")
    assert refused(registry, change_role, bob, str(bob.user), "admin") == (
        "permission_missing",
        "*",
    )
    assert change_role(registry, bob, rita.id, "customer-service").role == "customer-service"
    assert deactivate(registry, bob, rita.id).status == "deactivated"


def test_required_permissions(registry: SmallRegistry) -> None:
    ada, rita = registry.signed_in(registry.ada), registry.colleague("reporting", "Rita")
    token = registry.with_token(registry.token(ada, permissions=["users:*"])[0])
    bob = member(registry, "manager")
    for actor, reason in (
        (rita, ("permission_missing", "users:manage")),
        (token, ("signed_in_user_required", None)),
    ):
        assert refused(registry, change_role, actor, bob.id, "reporting") == reason
        assert refused(registry, deactivate, actor, bob.id) == reason
    with registry.read() as reading:
        assert user_search.get(reading, rita, bob.id) == user_search.get(reading, token, bob.id)


def test_an_actor_whose_role_changed_while_waiting_is_refused(
    registry: SmallRegistry,
) -> None:
    ada, grace = registry.signed_in(registry.ada), member(registry, "admin", "Grace")
    acting, bob = registry.signed_in(grace), member(registry, "manager")
    change_role(registry, ada, grace.id, "reporting")
    assert refused(registry, change_role, acting, bob.id, "reporting") == (
        "permission_missing",
        "users:manage",
    )
    deactivate(registry, ada, grace.id)
    assert refused(registry, deactivate, acting, bob.id)[0] == "account_deactivated"


def test_invalid_roles_and_unknown_users_are_refused(registry: SmallRegistry) -> None:
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    bob = member(registry, "manager")
    theirs = registry.do(
        roles.create,
        carl,
        catalogue=registry.catalogue,
        name="Till",
        permissions=["charges:get"],
    )
    for role in ("emperor", "", theirs.id):
        assert refused(registry, change_role, ada, bob.id, role)[0] == "invalid"
    for nobody in (registry.carl.id, "usr_none", "\0", "\ud800"):
        assert refused(registry, change_role, ada, nobody, "manager")[0] == "not_found"
        assert refused(registry, deactivate, ada, nobody)[0] == "not_found"
        with registry.read() as reading, pytest.raises(NotFound):
            user_search.get(reading, ada, nobody)
    deactivate(registry, ada, bob.id)
    assert refused(registry, change_role, ada, bob.id, "reporting")[0] == "user_deactivated"


def test_a_stale_if_match_is_refused(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    tag = users.etag(bob)
    with registry.write() as change:
        change.session.execute(update(tables.users).values(last_sign_in_at=NOW))
    changed = change_role(registry, ada, bob.id, "reporting", [tag])
    with pytest.raises(Conflict) as conflict:
        change_role(registry, ada, bob.id, "manager", [tag])
    assert (conflict.value.reason, conflict.value.current) == ("changed_meanwhile", changed)


def test_two_administrators_who_demote_each_other_leave_one(registry: SmallRegistry) -> None:
    ada, grace = registry.ada, member(registry, "admin", "Grace")
    actors = [registry.signed_in(ada), registry.signed_in(grace)]
    for do in ("change_role", "deactivate"):
        with registry.write() as change:
            change.session.execute(
                update(tables.users)
                .where(tables.users.c.company_id == registry.northwind.id)
                .values(role="admin")
            )
            for user in (ada, grace):
                publish(change, Holder(user.id, registry.northwind.id, True, "admin"))
        reasons = _at_once(registry, do, list(zip(actors, (grace, ada), strict=True)))
        assert len(reasons) == 1, reasons
        assert reasons[0] in ("permission_missing", "account_deactivated", "last_administrator")
        assert _administrators(registry) == 1


def _at_once(registry: SmallRegistry, do: str, pairs: list[tuple[Actor, User]]) -> list[str]:
    """The reasons of the refusals, after both acted on each other concurrently."""

    def act(actor: Actor, user: User) -> None:
        if do == "change_role":
            change_role(registry, actor, user.id, "reporting")
        else:
            deactivate(registry, actor, user.id)

    return [reason for reason in concurrently(act, *zip(*pairs, strict=True)) if reason]


def _administrators(registry: SmallRegistry) -> int:
    found = registry.ask(user_search.list_, Actor.command_line(), status="active", limit=200).items
    ours = [user for user in found if user.company == registry.northwind.id]
    return sum(user.role == "admin" for user in ours)


def test_lists_are_paged_searchable_and_of_one_company(registry: SmallRegistry, ada: Actor) -> None:
    names = ["Bob", "Łukasz Ålund", "Zoë", "İpek"]
    for number, name in enumerate(names):
        registry.now += 1
        registry.user(registry.northwind, f"user{number}@northwind.example", name, "reporting")

    def listed(**how: Any) -> list[str]:
        return [user.name for user in registry.every(user_search.list_, ada, **how)]

    everyone = [*names[::-1], "Ada Lovelace"]
    assert listed() == listed(limit=2) == everyone
    assert listed(q="ålund") == listed(q="ÅLUND") == ["Łukasz Ålund"]
    assert listed(q="User1@NORTH") == ["Łukasz Ålund"]
    assert listed(q="northwind", limit=2) == everyone
    assert listed(q="carl") == listed(q="\0") == []
    assert listed(q="%") == []
    with registry.read() as reading:
        bob = user_search.list_(reading, ada, q="bob").items[0]
        assert user_search.list_(reading, ada).count == 5
        assert user_search.list_(reading, ada, limit=2).count == 5
    deactivate(registry, ada, bob.id)
    assert listed(status="deactivated") == ["Bob"]
    assert listed(status="active") == [name for name in everyone if name != "Bob"]
    wrong: dict[str, Any]
    for wrong in ({"status": "gone"}, {"cursor": "x"}, {"limit": 0}):
        with registry.read() as reading, pytest.raises(InvalidInput):
            user_search.list_(reading, ada, **wrong)


def test_the_tokens_that_a_user_would_leave_behind(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), member(registry, "manager")
    acting = registry.signed_in(bob)
    made = [registry.token(acting, label=f"Token {number}")[0] for number in range(4)]
    with registry.write() as change:
        access_tokens.deactivate(change, ada, made[0].id)
        change.session.execute(
            tables.token_use.insert(),
            [
                {"token_id": made[number].id, "last_at": NOW - number, "total": 1}
                for number in (2, 1)
            ],
        )
    with registry.read() as reading:
        found = left(reading, ada, bob.id, limit=2)
        theirs = left(reading, registry.signed_in(registry.carl), bob.id, limit=2)
    assert found.count == 3
    assert [token.id for token in found.latest] == [made[1].id, made[2].id]
    assert (theirs.count, theirs.latest) == (0, [])
