"""Runs of equal events, and the sentence of each."""

from dataclasses import replace

import pytest

from gatepass.core.display_text import relaxed
from gatepass.registry.actor import Subject
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.audit.runs import LEAST, marked_run, runs

EVENT = AuditEvent(
    id="evt_1",
    company="com_1",
    at=1,
    actor_kind="user",
    actor_id="usr_ada",
    actor_name="Ada Lovelace",
    actor_credential="gplt_1",
    token_label=None,
    address="203.0.113.9",
    action="access_token.created",
    subject=Subject("access_token", "gpat_1", "Nightly {x}"),
    before=None,
    after=None,
)
GRACE = replace(EVENT, actor_id="usr_grace", actor_name="Grace Hopper")


def lengths(*events: AuditEvent) -> list[int]:
    return [len(run) for run in runs(events)]


def said(event: AuditEvent) -> str:
    (run,) = runs([event] * 1_200)
    return relaxed(" ".join(filter(None, marked_run(run))))


def test_equal_events_are_a_run() -> None:
    assert LEAST == 3
    assert lengths(EVENT, EVENT) == [1, 1]
    assert lengths(EVENT, EVENT, EVENT) == [3]
    assert lengths(*[EVENT] * 3, *[GRACE] * 4) == [3, 4]
    by_token = replace(EVENT, actor_kind="token", token_label="Deploys")
    assert lengths(EVENT, EVENT, by_token, by_token) == [1] * 4
    ended = replace(EVENT, action="access_token.deactivated")
    unused = replace(ended, after={"cause": "unused"})
    assert lengths(*[ended] * 3, *[unused] * 3) == [3, 3]


def test_between_them_are_only_events_about_the_same_kind_of_record() -> None:
    mailed = replace(EVENT, action="invitation.delivered", actor_kind="system", actor_id=None)
    invited = replace(EVENT, action="invitation.created")
    signed_in = replace(EVENT, action="authentication.created")
    assert lengths(*[mailed, invited] * 3) == [3, 3]
    assert lengths(*[mailed, invited, signed_in] * 3) == [1] * 9
    decoy = replace(EVENT, action="access_token.decoy_used")
    assert lengths(EVENT, EVENT, decoy, EVENT, EVENT) == [1] * 5
    found = list(runs([EVENT, GRACE, EVENT, GRACE, EVENT]))
    assert found == [[EVENT] * 3, [GRACE], [GRACE]], "by their newest"


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (EVENT, "Ada Lovelace created 1,200 access tokens"),
        (
            replace(EVENT, action="access_token.deactivated", after={"cause": "unused"}),
            "Ada Lovelace deactivated 1,200 access tokens, which nobody used",
        ),
        (replace(EVENT, action="authentication.created"), "Ada Lovelace signed in 1,200 times"),
        (
            replace(EVENT, action="authentication.refused"),
            "1,200 sign-ins as Nightly {x} failed",
        ),
        (
            replace(EVENT, action="invitation.delivered"),
            "The mail server accepted 1,200 mails with invitations",
        ),
        (
            replace(EVENT, action="invitation.delivered", after={"demo": True}),
            "1,200 invitations appeared on the demo's mail page",
        ),
        (
            replace(EVENT, action="invitation.not_mailed"),
            "No mail server is set up, so 1,200 invitations weren't mailed",
        ),
        (
            replace(EVENT, action="owner.created", subject=Subject("owner", "ext_1", "x")),
            "Ada Lovelace created 1,200 external owners",
        ),
        (
            replace(EVENT, actor_kind="command line", actor_id=None, action="user.created"),
            "The command line created 1,200 users",
        ),
    ],
)
def test_a_run_is_one_sentence(event: AuditEvent, sentence: str) -> None:
    assert said(event) == sentence


@pytest.mark.parametrize(
    "event",
    [
        replace(EVENT, action="access_token.decoy_used"),
        replace(EVENT, action="access_token.reuse_detected"),
        replace(EVENT, action="allowlist.changed"),
        replace(EVENT, action="user.operator_named"),
        replace(EVENT, action="access_token.deactivated", after={"cause": "reuse"}),
    ],
)
def test_what_deserves_to_be_seen_is_never_folded(event: AuditEvent) -> None:
    assert lengths(*[event] * 9) == [1] * 9


def test_sign_ins_that_failed_are_folded_by_account() -> None:
    failed = replace(EVENT, action="authentication.refused")
    other = replace(failed, subject=Subject("user", "usr_2", "Bob"))
    assert lengths(*[failed] * 3, *[other] * 3) == [3, 3]


def test_every_action_can_be_told_of_as_a_run_or_not() -> None:
    for action in (action for kind in KINDS.values() for action in kind.actions):
        for run in runs([replace(EVENT, action=action)] * 3):
            if len(run) > 1:
                assert "{" not in "".join(marked_run(run)).replace("{x}", ""), action
