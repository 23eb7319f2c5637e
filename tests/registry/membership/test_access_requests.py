"""Access requests: who asks for what, who answers, the exceptions that follow, and the mail."""

from typing import Any

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyAttempts
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.mail.messages import Envelope
from gatepass.node.mailing import _WRITERS
from gatepass.registry.actor import Actor, Person
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.directory import roles
from gatepass.registry.grants import compaction
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.membership import access_requests
from gatepass.registry.replication import receipt_status
from gatepass.registry.storage.tables import outgoing_mail
from gatepass.registry.tokens import access_tokens, rotation, self_rotation
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import exceptions, request_records
from gatepass.registry.tokens.temporary.request_records import AccessRequest
from tests.support.approval_policy import require
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes

LIFETIME = 600_000
DAY = 24 * HOUR
DECISION = "dec_0123456789abcdefghijkl"


@pytest.fixture
def registry(sqlite_registry: SmallRegistry) -> SmallRegistry:
    """One engine: ``tests/web/api/tokens/test_access_requests`` runs on both."""
    return sqlite_registry


@pytest.fixture
def asking(registry: SmallRegistry, ada: Actor) -> tuple[AccessToken, str]:
    """A token of Ada's that may only see charges, and its text."""
    return registry.token(ada, permissions=["charges:get"])


def ask(
    registry: SmallRegistry, token: AccessToken, permission: str = "charges:create", **more: Any
) -> AccessRequest:
    given: dict[str, Any] = {"decision": None, "justification": None, "lifetime_ms": LIFETIME}
    return registry.do(
        access_requests.ask,
        registry.with_token(token),
        catalogue=registry.catalogue,
        permission=permission,
        **(given | more),
    )


def approve(
    registry: SmallRegistry, actor: Actor, request: AccessRequest, seconds: Any = 900
) -> AccessRequest:
    return registry.do(
        access_requests.approve, actor, request.id, seconds=seconds, catalogue=registry.catalogue
    )


def mails(registry: SmallRegistry) -> list[str]:
    with registry.read() as reading:
        found = reading.session.execute(
            outgoing_mail.select().where(outgoing_mail.c.kind == access_requests.MAIL)
        )
        return sorted(row.recipient for row in found)


def actions(registry: SmallRegistry, kind: str) -> list[str]:
    return [event.action for event in registry.events() if event.subject.kind == kind]


def test_asked_allowed_and_over(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    token, text = asking
    request = ask(registry, token, decision=DECISION, justification="Order 7 needs it.")
    assert (request.status, request.expires_at) == ("pending", NOW + LIFETIME)
    assert registry.ask(request_records.get, registry.with_token(token), request.id) == request
    assert registry.reason(text) is Reason.permission_missing
    registry.now += 1_000
    allowed = approve(registry, ada, request)
    until = registry.now + 900_000
    assert (allowed.status, allowed.until, allowed.always) == ("approved", until, False)
    assert allowed.decided_by == Person(ada.user, "Ada Lovelace")
    found = registry.get(token)
    assert [(one.permission, one.until) for one in found.exceptions] == [("charges:create", until)]
    assert found.effective_permissions == ("charges:create", "charges:get")
    assert found.permissions == ("charges:get",)
    decision = registry.decide(text)
    assert (decision.reason, decision.effective) == (Reason.allowed, found.effective_permissions)
    # It ends by the clock; the round only notes it.
    registry.now = until
    assert registry.reason(text) is Reason.permission_missing
    assert registry.get(token).exceptions == ()
    assert exceptions.note_ended(registry.database, lambda: registry.now) == 1
    assert exceptions.note_ended(registry.database, lambda: registry.now) == 0
    grant = registry.ask(published_grant, token.id)
    assert grant is not None
    assert grant.exceptions is None
    assert actions(registry, "access_request") == [
        "access_request.created",
        "access_request.approved",
    ]
    said = [sentence(event) for event in registry.events()][-4:]
    assert said == [
        "Ada Lovelace, with the access token Nightly settlement, asked for charges:create",
        "Ada Lovelace gave the access token Nightly settlement an exception for charges:create",
        "Ada Lovelace allowed charges:create to the access token Nightly settlement for a while",
        "Gatepass ended the exception of the access token Nightly settlement for charges:create",
    ]


def test_the_same_request_is_one_with_one_mail(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    registry.user(registry.northwind, "carl@northwind.example", "Carl", "customer-service")
    registry.user(registry.northwind, "mona@northwind.example", "Mona", "manager")
    request = ask(registry, asking[0])
    for _ in range(2):
        with nothing_changes(registry, but="revision revisions"):
            assert ask(registry, asking[0], justification="Again") == request
    assert mails(registry) == ["ada@northwind.example", "mona@northwind.example"]
    assert ask(registry, asking[0], "refunds:create").id != request.id
    registry.now += LIFETIME
    again = ask(registry, asking[0])
    assert again.id != request.id
    expired = registry.ask(request_records.get, ada, request.id)
    assert expired.status == "expired"
    with pytest.raises(Conflict) as refused:
        approve(registry, ada, expired)
    assert (refused.value.reason, refused.value.current) == ("not_pending", expired)


def test_the_mail_has_no_justification_and_goes_while_it_is_pending(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    account = registry.service_account(ada)
    robot, _ = registry.token(ada, permissions=["charges:get"], owner=account.id)
    find, compose = _WRITERS[access_requests.MAIL]
    envelope = Envelope("mail_1", "localhost", ("G", "g@x.example"), "ada@x.example", NOW)
    # Which call of the robot was refused isn't known yet.
    call = ObservedCall(
        "permission_missing", ("charges:create",), "/v1/charges", "POST", "192.0.2.9", None
    )
    with registry.database.auxiliary_write(registry.now) as write:
        counted = CountedCall(asking[0].id, False, call, 1, registry.now, registry.now)
        observed_calls.fold(write, [counted])
    for token, whose, did in (
        (asking[0], "Your access token", "called POST /v1/charges from 192.0.2.9 and was refused"),
        (robot, "The access token", "“Nightly settlement” was refused, because"),
    ):
        request = ask(registry, token, justification="Call 555-0100 at once")
        subject = f"{request.id}:asked:{ada.user}"
        with registry.database.auxiliary_write(registry.now) as write:
            letter = find(write, subject)
        assert letter is not None
        mail = compose(envelope, letter, "https://gp.example")
        assert mail["Subject"] == f"{whose} “Nightly settlement” at Northwind asks for " + (
            "charges:create"
        )
        plain = mail.get_body(("plain",))
        assert plain is not None
        assert did in " ".join(plain.get_content().split())
        text = mail.as_string()
        assert f"https://gp.example/access-requests/{request.id}" in text
        assert "555-0100" not in text
        registry.do(access_requests.deny, ada, request.id)
        assert registry.ask(find, subject) is None


@pytest.mark.parametrize(
    ("permission", "refusal"),
    [
        ("charges:*", "not_found"),
        ("*", "not_found"),
        ("charges:invent", "not_found"),
        ("users:manage", "not_found"),
        ("access-tokens:get", "not_found"),
        ("", "not_found"),
        ("charges:get", "already_held"),
    ],
)
def test_what_cannot_be_asked_for(
    registry: SmallRegistry, asking: tuple[AccessToken, str], permission: str, refusal: str
) -> None:
    with nothing_changes(registry), pytest.raises((NotFound, Conflict)) as refused:
        ask(registry, asking[0], permission)
    assert refused.value.reason == refusal


@pytest.mark.parametrize(
    "given",
    [
        {"justification": "x" * 501},
        {"justification": "a\rb"},
        {"justification": "\u202eevil"},
        {"decision": "dec_1"},
        {"decision": "https://gp.example/decisions/" + DECISION},
    ],
)
def test_texts_that_are_refused(
    registry: SmallRegistry, asking: tuple[AccessToken, str], given: Any
) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput) as refused:
        ask(registry, asking[0], **given)
    assert [field for field, _ in refused.value.errors] == list(given)


def test_the_role_binds_it(registry: SmallRegistry, ada: Actor) -> None:
    with registry.write() as change:
        role = roles.create(
            change,
            ada,
            catalogue=registry.catalogue,
            name="Till",
            permissions=["charges:get", "charges:create", "access-tokens:create"],
        )
    tim = registry.colleague(role.id, "Tim")
    token, text = registry.token(tim, permissions=["charges:get"])
    with pytest.raises(Conflict) as refused:
        ask(registry, token, "refunds:create")
    assert refused.value.reason == "role_too_small"
    approve(registry, ada, ask(registry, token))
    assert registry.reason(text) is Reason.allowed
    with registry.write() as change:
        roles.modify(
            change,
            ada,
            role.id,
            catalogue=registry.catalogue,
            changes={"permissions": ["charges:get"]},
        )
    assert registry.reason(text) is Reason.permission_missing
    assert registry.get(token).effective_permissions == ("charges:get",)


def test_a_denial_lasts_a_day(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    denied = registry.do(access_requests.deny, ada, ask(registry, asking[0]).id)
    assert (denied.status, denied.until, denied.always) == ("denied", None, False)
    registry.now += DAY - 1_500
    with nothing_changes(registry), pytest.raises(TooManyAttempts) as refused:
        ask(registry, asking[0])
    assert refused.value.retry_after == 2
    assert ask(registry, asking[0], "refunds:create").status == "pending"
    registry.now += 1_500
    assert ask(registry, asking[0]).status == "pending"


def test_the_limits_are_those_of_a_family(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that rotates itself has asked before."""
    first, _ = registry.token(
        ada, permissions=["charges:get", "own-token:rotate"], expires_at=NOW + DAY
    )
    registry.do(access_requests.deny, ada, ask(registry, first).id)
    second, _ = registry.do(self_rotation.rotate, registry.with_token(first), 600)
    with pytest.raises(TooManyAttempts):
        ask(registry, second)
    monkeypatch.setattr(access_requests, "MOST_A_DAY", 2)
    ask(registry, second, "refunds:create")
    registry.now += LIFETIME
    with pytest.raises(TooManyAttempts, match="2 times in 24 hours"):
        ask(registry, second, "refunds:create")
    registry.now = NOW
    monkeypatch.setattr(access_requests, "MOST_PENDING", 2)
    ask(registry, registry.token(ada, permissions=["charges:get"])[0])
    with pytest.raises(TooManyAttempts, match="are pending"):
        ask(registry, registry.token(ada, permissions=["charges:get"])[0])


def test_who_can_answer(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    request = ask(registry, asking[0])
    with registry.write() as change:
        limited = roles.create(
            change,
            ada,
            catalogue=registry.catalogue,
            name="Limited",
            permissions=["access-requests:decide", "charges:get"],
        )
    lea = registry.colleague(limited.id, "Lea")
    program, _ = registry.token(ada, permissions=["charges:*"])
    refused: list[tuple[Actor, str]] = [
        (lea, "permission_missing"),
        (registry.colleague("customer-service", "Carl"), "permission_missing"),
        (registry.with_token(program), "signed_in_user_required"),
        (registry.with_token(asking[0]), "signed_in_user_required"),
        (registry.admin_key(registry.northwind), "admin_key"),
        (Actor.command_line(), "signed_in_user_required"),
    ]
    for actor, reason in refused:
        for answer in (
            lambda actor: approve(registry, actor, request),
            lambda actor: registry.do(access_requests.deny, actor, request.id),
        ):
            with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
                answer(actor)
            assert refusal.value.reason == reason
    stranger = registry.signed_in(registry.carl)
    with nothing_changes(registry), pytest.raises(NotFound):
        approve(registry, stranger, request)
    deciders = registry.ask(request_records.deciders, asking[0], "charges:create", most=9)
    assert [row.name for row in deciders] == ["Ada Lovelace"]

    def seen(actor: Actor, **filters: Any) -> list[str]:
        page = registry.ask(request_records.list_, actor, catalogue=registry.catalogue, **filters)
        return [one.id for one in page.items]

    assert seen(ada) == seen(ada, status="pending") == [request.id]
    assert seen(ada, status="denied") == seen(lea) == seen(stranger) == []
    assert registry.ask(request_records.number_pending, ada, registry.catalogue) == 1
    assert registry.ask(request_records.number_pending, lea, registry.catalogue) == 0
    other = registry.with_token(program)
    with pytest.raises(NotFound):
        registry.ask(request_records.get, other, request.id)
    with pytest.raises(Forbidden):
        registry.ask(request_records.get, lea, request.id)
    with pytest.raises(InvalidInput):
        seen(ada, status="open")


def test_a_permission_that_needs_a_second_person(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    require(registry, "charges:*")
    request = ask(registry, asking[0])
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        approve(registry, ada, request)
    assert refusal.value.reason == "second_person_required"
    with registry.write() as change:
        role = roles.create(
            change,
            ada,
            catalogue=registry.catalogue,
            name="Decides",
            permissions=["access-requests:decide", "charges:create"],
        )
    dora = registry.colleague(role.id, "Dora")
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        approve(registry, dora, request)
    assert refusal.value.permission == "access-tokens:approve"
    mona = registry.colleague("manager", "Mona")
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        approve(registry, mona, request, None)
    assert (conflict.value.reason, conflict.value.current) == ("approval_required", request)
    assert approve(registry, mona, request).status == "approved"
    assert registry.reason(asking[1]) is Reason.allowed
    # One who can't allow it can still deny it.
    other = ask(registry, registry.token(ada, permissions=["refunds:create"])[0])
    assert registry.do(access_requests.deny, ada, other.id).status == "denied"


def test_for_good_is_an_edit(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    with registry.write() as change:
        role = roles.create(
            change,
            ada,
            catalogue=registry.catalogue,
            name="Decides",
            permissions=["access-requests:decide", "charges:create"],
        )
    request, dora = ask(registry, asking[0]), registry.colleague(role.id, "Dora")
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        approve(registry, dora, request, None)
    assert refusal.value.permission == "access-tokens:modify"
    allowed = approve(registry, ada, request, None)
    assert (allowed.status, allowed.until, allowed.always) == ("approved", None, True)
    found = registry.get(asking[0])
    assert (sorted(found.permissions), found.exceptions) == (["charges:create", "charges:get"], ())
    assert actions(registry, "access_token")[-1] == "access_token.modified"


@pytest.mark.parametrize("seconds", [0, 86_401, -1, True])
def test_how_long_an_exception_can_be(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str], seconds: Any
) -> None:
    request = ask(registry, asking[0])
    with nothing_changes(registry), pytest.raises(InvalidInput):
        approve(registry, ada, request, seconds)
    assert approve(registry, ada, request, 86_400).until == NOW + DAY


def test_an_exception_is_ended_now(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    token, text = asking
    for permission in ("charges:create", "refunds:create"):
        request = approve(registry, ada, ask(registry, token, permission), 60)
    carl = registry.colleague("customer-service", "Carl")
    for actor in (carl, registry.with_token(token)):
        with nothing_changes(registry), pytest.raises(Forbidden):
            registry.do(exceptions.end, actor, token.id, "refunds:create")
    registry.now += 1_000
    registry.do(exceptions.end, ada, token.id, "refunds:create")
    assert registry.reason(text, "refunds:create") is Reason.permission_missing
    assert registry.reason(text) is Reason.allowed
    ended = registry.ask(request_records.get, ada, request.id)
    assert (ended.status, ended.until) == ("approved", registry.now)
    assert registry.ask(receipt_status.find, request.id) is not None
    assert registry.ask(receipt_status.find, token.id) is None
    for permission in ("refunds:create", "charges:get", "nonsense"):
        with nothing_changes(registry), pytest.raises(NotFound):
            registry.do(exceptions.end, ada, token.id, permission)
    with pytest.raises(NotFound):
        registry.do(exceptions.end, registry.signed_in(registry.carl), token.id, "charges:create")


def test_a_token_has_few_exceptions_at_once(
    registry: SmallRegistry,
    ada: Actor,
    asking: tuple[AccessToken, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exceptions, "MOST", 1)
    first = approve(registry, ada, ask(registry, asking[0]), 60)
    second = ask(registry, asking[0], "refunds:create")
    with nothing_changes(registry), pytest.raises(Conflict) as refused:
        approve(registry, ada, second)
    assert (refused.value.reason, refused.value.current) == ("too_many_exceptions", second)
    # One that is over makes room, before a round has noted its end.
    registry.now = first.until or 0
    approve(registry, ada, second)
    assert "access_token.exception_ended" in actions(registry, "access_token")
    assert [one.request for one in registry.get(asking[0]).exceptions] == [second.id]


def test_no_successor_has_it(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    approve(registry, ada, ask(registry, asking[0]))
    new, text = registry.do(rotation.rotate, ada, asking[0].id, Closing("after", after=600))
    assert new.exceptions == ()
    assert registry.reason(text) is Reason.permission_missing
    # The old one keeps it, also when it is edited.
    registry.modify(ada, asking[0], label="Renamed")
    assert registry.reason(asking[1]) is Reason.allowed


def test_an_ended_token_is_given_nothing(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    request = ask(registry, asking[0])
    letter = f"{request.id}:asked:{ada.user}"
    assert registry.ask(access_requests.letter, letter) is not None
    registry.do(access_tokens.deactivate, ada, asking[0].id)
    assert registry.ask(access_requests.letter, letter) is None
    with nothing_changes(registry), pytest.raises(Conflict) as refused:
        approve(registry, ada, request)
    assert (refused.value.reason, refused.value.current) == ("token_deactivated", request)


def test_requests_are_kept_for_ninety_days(
    registry: SmallRegistry, ada: Actor, asking: tuple[AccessToken, str]
) -> None:
    request = ask(registry, asking[0])
    registry.now = request.expires_at + compaction.REQUESTS_KEPT_MS
    registry.now -= 1
    assert compaction.compact(registry.database, lambda: registry.now).access_requests == 0
    registry.now += 1
    assert compaction.compact(registry.database, lambda: registry.now).access_requests == 1
