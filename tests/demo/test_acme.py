"""The made-up company: something of everything, so that the dashboard looks alive."""

from pathlib import Path
from typing import Any

from gatepass.core.decision import Reason
from gatepass.demo import acme
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.directory import users
from gatepass.registry.membership import email_change_links
from gatepass.registry.tokens.calls import hours, usage
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import AccessToken

DAY = 86_400_000


def _tokens(demo: Any) -> list[AccessToken]:
    with demo.node.database.read(demo.node.clock.now()) as reading:
        return token_search.list_(reading, Actor.command_line(), limit=200).items


def test_there_is_a_token_of_every_sort(demo: Any) -> None:
    tokens = _tokens(demo)
    now = demo.node.clock.now()
    assert {token.status for token in tokens} == {"active", "expired", "deactivated"}
    assert {token.kind for token in tokens} == {"api", "ui"}
    assert any(token.networks for token in tokens)
    assert any("." in domain for token in tokens for domain in token.domains)
    assert any(token.expires_at and now < token.expires_at < now + 7 * DAY for token in tokens)
    assert any(token.last_used for token in tokens)
    assert any(token.last_used is None for token in tokens)
    assert len({token.created_by.name for token in tokens}) > 1


def test_the_past_is_told_in_order_and_ends_now(demo: Any) -> None:
    now = demo.node.clock.now()
    with demo.node.database.read(now) as reading:
        events = search.list_(reading, Actor.command_line(), limit=200).items
        latest = [token for token in _tokens(demo) if token.last_used]
        busiest = usage.daily(reading, [latest[-1].id, latest[0].id], days=30)
    assert [event.at for event in events] == sorted((e.at for e in events), reverse=True)
    assert {"company.created", "user.created", "access_token.deactivated"} <= {
        event.action for event in events
    }
    assert max(event.at for event in events) <= now
    for token in latest:
        assert token.last_used is not None
        assert token.created_at < token.last_used.at <= now
        ended = token.deactivated_at or token.expires_at or now
        assert token.last_used.at <= ended
    assert all(sum(counts) > 0 for counts in busiest.values())


def test_the_last_24_hours_look_alive(demo: Any) -> None:
    tokens = {token.label: token.id for token in _tokens(demo)}
    with demo.node.database.read(demo.node.clock.now()) as reading:
        shop = hours.of_token(reading, tokens["Checkout on shop.acme.example"])
        nightly = hours.of_token(reading, tokens["Nightly settlement"])
    assert len([number for number in shop.allowed if number]) > 12
    assert len([number for number in shop.refused if number]) == 3
    assert len([number for number in nightly.allowed if number]) == 1


def test_what_is_handed_out_works(demo: Any) -> None:
    made = demo.credentials
    check = demo.node.verifier.check
    assert check(made.access_token, permission="charges:search").allowed
    assert demo.node.verifier.verifier_key(made.verifier_key) == (Reason.allowed, None)
    answer = demo.call(
        "POST", "/v1/authentications", json={"email": made.email, "password": made.password}
    )
    assert answer.status_code == 201
    me = demo.call("GET", "/v1/me", answer.json()["token"]).json()
    assert (me["company"]["name"], me["permissions"]) == (acme.COMPANY, ["*"])
    keys = demo.call("GET", "/v1/verifier-keys", answer.json()["token"])
    assert keys.status_code == 200, "the demo's owner is an operator"


def test_credentials_are_kept_nowhere(demo: Any) -> None:
    made = demo.credentials
    secrets = [made.password, made.verifier_key[21:53], made.access_token[21:53]]
    secrets.append(demo.page_token[21:53])
    files = [path for path in Path(demo.node.settings.data_dir).rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        assert not [path for secret in secrets if secret.encode() in content]
    assert all(secret not in repr(made) for secret in secrets)


def test_the_page_s_token_is_made_anew_at_each_start(demo: Any) -> None:
    check = demo.node.verifier.check
    call = {"permission": "charges:search", "origin": "http://localhost:9000"}
    first = acme.new_page_token(demo.node, 9000)
    assert check(first, **call).allowed
    assert check(first, **{**call, "origin": "http://127.0.0.1:9000"}).reason == (
        Reason.origin_not_allowed
    )
    second = acme.new_page_token(demo.node, 9000)
    assert check(first, **call).reason == Reason.token_deactivated
    assert check(second, **call).allowed
    with demo.node.database.read(demo.node.clock.now()) as reading:
        ada = users.by_email(reading, acme.OWNER_EMAIL)
        assert ada is not None
        named = token_search.list_(reading, Actor.command_line(), q="Demo page", status="active")
    assert [token.created_by.id for token in named.items] == [ada.id]


def test_it_starts_again_after_its_owner_changed_their_address(demo: Any) -> None:
    node = demo.node
    now = node.clock.now()
    with node.database.read(now) as reading:
        ada = acme.owner(reading)
    assert ada.email == acme.OWNER_EMAIL
    for email in ("countess@acme.example", acme.OWNER_EMAIL):
        with node.database.write(now) as change:
            email_change_links.change_at_once(change, Actor.command_line(), ada.id, email)
        token = acme.new_page_token(node, 9000)
        call = {"permission": "charges:search", "origin": "http://localhost:9000"}
        assert node.verifier.check(token, **call).allowed
        with node.database.read(now) as reading:
            assert acme.owner(reading).email == email


def test_an_agent_waits_for_an_answer(demo: Any) -> None:
    answer = demo.call("GET", "/v1/access-requests?status=pending", _signed_in(demo))
    (asked,) = answer.json()["items"]
    assert asked["permission"] == "charges:refund"
    call = demo.call("GET", f"/v1/decisions/{asked['decision']}", _signed_in(demo)).json()
    assert (call["reason"], call["permission"]) == ("permission_missing", "charges:refund")


def _signed_in(demo: Any) -> str:
    known = {"email": demo.credentials.email, "password": demo.credentials.password}
    token: str = demo.call("POST", "/v1/authentications", json=known).json()["token"]
    return token
