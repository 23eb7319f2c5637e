"""Sample roles, invitations' states, first steps and a log for the style guide."""

from typing import Any

from gatepass.registry.actor import Subject
from gatepass.registry.audit.events import AuditEvent
from gatepass.web.pages.access_tokens.first_steps import Step, Steps
from gatepass.web.pages.audit.days import days
from gatepass.web.pages.audit.details import rows
from gatepass.web.pages.company.role_strip import Resource, Strip
from gatepass.web.pages.people.invitation_state import State
from gatepass.web.pages.text.times import DAY, HOUR, MINUTE


def sample_people(now: int) -> dict[str, Any]:
    """What the style guide's section names; *now* is Unix ms."""
    token = Subject("access_token", "gpat_7HqXw2Lk90aZbYcT", "Nightly settlement")
    modified = _event(1, now - MINUTE, "access_token.modified", token)
    log = [
        modified,
        *(_event(2 + n, now - 2 * MINUTE, "access_token.deactivated", token) for n in range(4)),
        _event(9, now - DAY, "access_token.created", token),
    ]
    return {
        "strips": (
            Strip(everything=True),
            Strip(
                False,
                (
                    Resource("Charges", "all", True),
                    Resource("Refunds", "read, create", False),
                    Resource("Payouts", "3 of 6", False),
                ),
                more=8,
            ),
        ),
        "invitation_states": (
            State("Pending", "pending", "Accepted by the mail server", now - HOUR),
            State("Not sent", "late", "No mail server is set up. Copy the link."),
            State("Not sent yet", "late", "The mail server refuses connections.", None, now + HOUR),
            State("Accepted", "over"),
        ),
        "first_steps": Steps(
            (
                Step("Create a token", "", "#sg-people", done=True),
                Step("Make the first call", "It ticks itself off.", "#sg-people", done=False),
                Step("Invite someone", "So that you aren't alone.", "", done=False),
            ),
            live=False,
        ),
        "log": list(days(log, lambda event: "#sg-people")),
        "rows_of": rows,
    }


def _event(number: int, at: int, action: str, subject: Subject) -> AuditEvent:
    return AuditEvent(
        id=f"evt_sample_{number}",
        company="com_sample",
        at=at,
        actor_kind="user",
        actor_id="usr_ada",
        actor_name="Ada Lovelace",
        actor_credential=None,
        token_label=None,
        address="203.0.113.77",
        action=action,
        subject=subject,
        before={"networks": []} if action == "access_token.modified" else None,
        after={"networks": ["203.0.113.0/24"]} if action == "access_token.modified" else None,
    )
