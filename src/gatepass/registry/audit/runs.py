"""Runs of events: one actor's equal actions, which a log can show as one sentence."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.sentences import CAUSES, marked_actor, marked_subject

#: Fewer events are no run.
LEAST = 3

#: What a run says of its events; ``{n}`` is their number. Other events, such as the use of a decoy,
#: are never folded: each deserves to be seen.
_MANY = {
    "access_token.created": "created {n} access tokens",
    "access_token.imported": "imported {n} access tokens",
    "access_token.modified": "changed {n} access tokens",
    "access_token.rotated": "rotated {n} access tokens",
    "access_token.handed_over": "handed over {n} access tokens",
    "access_token.deactivated": "deactivated {n} access tokens",
    "access_token.pending": "asked for the approval of {n} access tokens",
    "access_token.approved": "approved {n} access tokens",
    "access_token.expiring": "{n} access tokens end soon",
    "access_token.expired": "{n} access tokens have expired",
    "access_token.refused_everywhere": "The deactivation of {n} access tokens is complete",
    "authentication.created": "signed in {n} times",
    "authentication.ended": "signed out {n} times",
    "authentication.deactivated": "deactivated {n} sign-ins",
    "authentication.refused": "{n} sign-ins as {name} failed",
    "authentication.refused_everywhere": "The deactivation of {n} sign-ins is complete",
    "invitation.created": "invited {n} people",
    "invitation.resent": "resent {n} invitations; their old links no longer work",
    "invitation.link_taken": "copied the links of {n} invitations; their old links no longer work",
    "invitation.not_mailed": "No mail server is set up, so {n} invitations weren't mailed",
    "invitation.deactivated": "deactivated {n} invitations",
    "portal_session.created": "opened {n} portal sessions",
    "portal_session.redeemed": "{n} portal sessions were redeemed by their pages",
    "portal_session.deactivated": "deactivated {n} portal sessions",
    "role.created": "created {n} roles",
    "role.deleted": "deleted {n} roles",
    "user.created": "created {n} users",
    "user.deactivated": "deactivated {n} users",
}
_DELIVERED = {
    False: "The mail server accepted {n} mails with invitations",
    True: "{n} invitations appeared on the demo's mail page",
}
_OWNERS = {True: "external owners", False: "service accounts"}
#: Causes whose words fit several events.
_CAUSES_OF_MANY = ("reported", "unapproved", "unused")


def runs(events: Sequence[AuditEvent]) -> Iterator[list[AuditEvent]]:
    """*events* by their newest one: those of a run together, each other one by itself.

    Between the events of a run there may be others about the same kind of record: a mail goes out
    after each of several invitations.
    """
    for _, stretch in groupby(enumerate(events), key=_stretch):
        by_key: dict[object, list[tuple[int, AuditEvent]]] = {}
        for place in stretch:
            by_key.setdefault(_key(place[1]), []).append(place)
        found = [
            part
            for group in by_key.values()
            for part in ([group] if len(group) >= LEAST else [[place] for place in group])
        ]
        yield from ([event for _, event in part] for part in sorted(found, key=_first))


def marked_run(run: Sequence[AuditEvent]) -> tuple[str, str]:
    """A run as ``sentences.marked_parts`` has one event: the actor, and the rest."""
    first, said = run[0], _said(run[0])
    assert said is not None
    what = said.format(n=f"{len(run):,}", name=marked_subject(first))
    return marked_actor(first), what + CAUSES.get(_cause(first), "")


def _stretch(place: tuple[int, AuditEvent]) -> object:
    """The same for neighbours that may be in one run, or in runs beside each other."""
    number, event = place
    return number if _said(event) is None else event.action.partition(".")[0]


def _first(part: Sequence[tuple[int, AuditEvent]]) -> int:
    return part[0][0]


def _key(event: AuditEvent) -> tuple[object, ...]:
    """What the events of a run have in common."""
    # Of a failed sign-in, the account is what matters.
    account = event.subject.id if event.action == "authentication.refused" else ""
    actor = (event.actor_kind, event.actor_id, event.actor_name, event.token_label)
    return (*actor, event.action, account, _said(event), _cause(event))


def _said(event: AuditEvent) -> str | None:
    """The sentence of several such events, without the actor; None if they are no run."""
    if _cause(event) not in ("", *_CAUSES_OF_MANY):
        return None
    if event.action == "invitation.delivered":
        return _DELIVERED[bool((event.after or {}).get("demo"))]
    noun, _, verb = event.action.partition(".")
    if noun == "owner" and verb in ("created", "deactivated"):
        return f"{verb} {{n}} {_OWNERS[event.subject.id.startswith('ext_')]}"
    return _MANY.get(event.action)


def _cause(event: AuditEvent) -> str:
    return str((event.after or {}).get("cause") or "")
