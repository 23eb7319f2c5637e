"""``gatepass user``: the way back for locked-out users."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gatepass.cli.installation import opened
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.authentication import throttling, totp
from gatepass.registry.directory import users
from gatepass.registry.membership import offboarding, password_resets

ADA = "ada@acme.example"


def enrol() -> None:
    with opened() as node, node.database.write(node.clock.now()) as change:
        node.encryption_key.create()
        ada = users.by_email(change, ADA)
        assert ada is not None
        totp.enable(change, ada.id, totp.new_secret(), 0, node.encryption_key)


def test_a_lost_second_factor_is_disabled(installed: Callable[..., Any]) -> None:
    enrol()
    said = installed("user", "second-factor-off", "ADA@acme.example")
    assert (said.code, said.out) == (0, "")
    assert said.err == (
        f"The second factor of {ADA} (ada, Acme) is turned off, and all their sign-ins have "
        "ended.\n"
    )
    with opened() as node, node.database.read(node.clock.now()) as reading:
        (event,) = search.list_(
            reading, Actor.command_line(), action="user.second_factor_disabled"
        ).items
    assert event.actor_kind == "command line"
    again = installed("user", "second-factor-off", ADA)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"gatepass: {ADA} has no second factor.\n"
    enrol()
    record = json.loads(installed("user", "second-factor-off", ADA, "--json").out)
    assert (record["email"], record["second_factor"]) == (ADA, False)


@pytest.mark.parametrize("command", ["second-factor-off", "reset-link"])
@pytest.mark.parametrize("email", ["nobody@acme.example", "", "a\udcff@acme.example", "'; --"])
def test_an_unknown_user_is_one_line(
    installed: Callable[..., Any], command: str, email: str
) -> None:
    said = installed("user", command, email)
    assert (said.code, said.out, said.err) == (1, "", "gatepass: There is no such user.\n")


def test_a_locked_out_user_is_unlocked(installed: Callable[..., Any]) -> None:
    with opened() as node, node.database.auxiliary_write(node.clock.now()) as write:
        attempt = throttling.begin(write, ADA, "192.0.2.1")
        while throttling.count_failure(write, attempt):
            pass
    for _ in range(2):
        said = installed("user", "unlock", "ADA@acme.example")
        assert (said.code, said.out) == (0, "")
        assert said.err == f"The failed sign-ins of {ADA} (ada, Acme) no longer count.\n"
        with opened() as node, node.database.read(node.clock.now()) as reading:
            assert throttling.refusal(reading, attempt) is None
    with opened() as node, node.database.read(node.clock.now()) as reading:
        event = search.list_(reading, Actor.command_line(), action="user.unlocked").items[0]
    assert (event.actor_kind, event.subject.name) == ("command line", "ada")
    record = json.loads(installed("user", "unlock", ADA, "--json").out)
    assert record["email"] == ADA


@pytest.mark.parametrize("email", ["nobody@acme.example", "", "a\udcff@acme.example", "'; --"])
def test_unlocking_an_unknown_user_fails(installed: Callable[..., Any], email: str) -> None:
    said = installed("user", "unlock", email)
    assert (said.code, said.out, said.err) == (1, "", "gatepass: There is no such user.\n")


def test_a_printed_link_sets_a_new_password(installed: Callable[..., Any]) -> None:
    said = installed("user", "reset-link", "ADA@acme.example")
    assert said.code == 0
    assert said.err == f"Give it only to {ADA} (ada, Acme): it works once, within an hour.\n"
    start, _, token = said.out.removesuffix("\n").rpartition("/")
    assert start == "http://127.0.0.1:8787/password-resets"
    told = json.loads(installed("user", "reset-link", ADA, "--json").out)
    assert set(told) == {"url", "expires_at"}
    with opened() as node, node.database.read(node.clock.now()) as reading:
        assert password_resets.look(reading, token, "127.0.0.1").email == ADA
        events = search.list_(
            reading, Actor.command_line(), action="user.password_reset_link_taken"
        ).items
    assert [one.actor_kind for one in events] == ["command line"] * 2
    assert not any(token[21:53] in repr(one) for one in events)


def test_no_link_for_a_deactivated_user(installed: Callable[..., Any]) -> None:
    with opened() as node, node.database.write(node.clock.now()) as change:
        ada = users.by_email(change, ADA)
        assert ada is not None
        bob = users.create(
            change,
            Actor.command_line(),
            company=ada.company,
            email="bob@acme.example",
            name="Bob",
            role="reporting",
            password_hash="x",
        )
        offboarding.deactivate(change, users.on_behalf_of(change, ada.id), bob.id)
    said = installed("user", "reset-link", bob.email)
    assert (said.code, said.out) == (1, "")
    assert said.err == "gatepass: There is no such user.\n"
