"""Sentences that describe audit events, with the names of that time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gatepass.core.display_text import marked, relaxed
from gatepass.core.grants import DECOY
from gatepass.registry.audit.events import AuditEvent

#: Names of fields in sentences.
FIELDS = {
    "networks": "IP addresses",
    "expires_at": "expiry",
    "second_factor_required": "rule about second factors",
    "unused_days": "days without use",
}

# Fields that hold user input, and kinds of subjects that have a label instead of a name.
_NAMES = frozenset(("name", "label", "role", "role_name", "email", "owner_name", "successor_label"))
_LABELLED = frozenset(("access_token", "admin_key", "verifier_key"))

# What is said of a kind of event: a template with the fields of ``_say``, or a function.
_Said = str | Callable[[AuditEvent], str]


def sentence(event: AuditEvent) -> str:
    """The event as a sentence: "Ada Lovelace deactivated the access token Nightly settlement".

    A name that could reorder the sentence is isolated (``core.display_text``).
    """
    return relaxed(marked_sentence(event))


def marked_sentence(event: AuditEvent) -> str:
    """The sentence with a mark around each name, so that pages can put it into an element."""
    return " ".join(filter(None, marked_parts(event)))


def marked_parts(event: AuditEvent) -> tuple[str, str]:
    """The sentence in two, with marked names: the actor, "" without a known one, and the rest."""
    event = _with_marked_names(event)
    without_actor = _WITHOUT_ACTOR.get(event.action)
    if without_actor is not None:
        return "", _say(without_actor, event)
    because = CAUSES.get(_after(event, "cause"), "")
    return _actor(event), _say(_SAID.get(event.action, _plainly), event) + because


def marked_actor(event: AuditEvent) -> str:
    """The actor at the beginning of a sentence, with marked names; "" without a known one."""
    return "" if event.action in _WITHOUT_ACTOR else _actor(_with_marked_names(event))


def marked_subject(event: AuditEvent) -> str:
    """The marked name of the event's subject, as its sentence has it."""
    return _with_marked_names(event).subject.name


def _say(said: _Said, event: AuditEvent) -> str:
    """A template with its fields, or what the function says."""
    if not isinstance(said, str):
        return said(event)
    return said.format(
        name=event.subject.name,
        whose=_whose(event),
        as_role=_as_role(event),
        owner=_owner(event),
        ended_too=_ended_too(event),
        email=_after(event, "email"),
    )


def _with_marked_names(event: AuditEvent) -> AuditEvent:
    otherwise = "(no label)" if event.subject.kind in _LABELLED else "(no name)"
    label = event.token_label
    return replace(
        event,
        actor_name=marked(event.actor_name),
        token_label=None if label is None else marked(label, "(no label)"),
        subject=replace(event.subject, name=marked(event.subject.name, otherwise)),
        before=_marked_fields(event.before, otherwise),
        after=_marked_fields(event.after, otherwise),
    )


def _marked_fields(fields: dict[str, Any] | None, otherwise: str) -> dict[str, Any] | None:
    if fields is None:
        return None
    return {
        name: marked(value, otherwise) if name in _NAMES and isinstance(value, str) else value
        for name, value in fields.items()
    }


def _actor(event: AuditEvent) -> str:
    if event.actor_kind == "token":
        token = event.token_label and f"the access token {event.token_label}"
        return f"{event.actor_name}, with {token or event.actor_credential},"
    if event.actor_kind == "admin_key":
        return f"The admin key {event.actor_name}"
    if event.actor_id is None and event.actor_kind == "command line":
        return "The command line"
    return event.actor_name


def _plainly(event: AuditEvent) -> str:
    noun, _, verb = event.action.partition(".")
    return f"{_words(verb)} the {_words(noun)} {event.subject.name}"


def _words(name: str) -> str:
    return FIELDS.get(name, name.replace("_", " "))


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _before(event: AuditEvent, field: str) -> Any:
    return (event.before or {}).get(field)


def _after(event: AuditEvent, field: str) -> Any:
    return (event.after or {}).get(field)


def _own(event: AuditEvent) -> bool:
    return event.actor_id is not None and event.actor_id == event.subject.id


def _whose(event: AuditEvent) -> str:
    """ "their", or "Grace Hopper's"."""
    return "their" if _own(event) else f"{event.subject.name}'s"


def _as_role(event: AuditEvent) -> str:
    role = _after(event, "role_name") or _after(event, "role")
    return f" as {role}" if role else ""


def _renamed(event: AuditEvent, field: str, thing: str) -> str:
    return f"renamed the {thing} {_before(event, field)} to {_after(event, field)}"


def _history_shortened(event: AuditEvent) -> str:
    return (
        f"The database lost changes: {event.subject.name} had seen revision "
        f"{_before(event, 'revision')}, and the database, at {_after(event, 'revision')}, had not"
    )


def _token_modified(event: AuditEvent) -> str:
    changed = list(event.after or ())
    if changed == ["label"]:
        return _renamed(event, "label", "access token")
    what = _listed([_words(name) for name in changed]) or "settings"
    return f"changed the {what} of the access token {event.subject.name}"


def _owner(event: AuditEvent) -> str:
    """ "the service account Deploys", from the prefix of its id."""
    noun = "external owner" if event.subject.id.startswith("ext_") else "service account"
    return f"the {noun} {event.subject.name}"


def _named(event: AuditEvent, name: str) -> AuditEvent:
    return replace(event, subject=replace(event.subject, name=name))


def _owner_modified(event: AuditEvent) -> str:
    name, former, role = _after(event, "name"), _before(event, "name"), _after(event, "role")
    said = [f"renamed {_owner(_named(event, former))} to {name}"] if name else []
    if role:
        whose = "its role" if name else f"the role of {_owner(event)}"
        before, after = _before(event, "role_name"), _after(event, "role_name")
        said.append(f"changed {whose} from {before or _before(event, 'role')} to {after or role}")
    return _listed(said) or f"modified {_owner(event)}"


def _decoy_used(event: AuditEvent) -> str:
    call = _after(event, "route") and f"{_after(event, 'method')} {_after(event, 'route')}"
    what = call or _after(event, "permission")
    where = _after(event, "address") or "an unknown address"
    return f"Somebody used the decoy {event.subject.name} from {where}" + (
        f", for {what}" if what else ""
    )


def _token_created(event: AuditEvent) -> str:
    if _after(event, "kind") == DECOY:
        return f"created the decoy {event.subject.name}"
    owner = _after(event, "owner_name")
    return _plainly(event) + (f" for {owner}" if owner else "")


def _access_request(event: AuditEvent) -> str:
    """ "charges:create to the access token Nightly settlement"."""
    return f"{event.subject.name} to the access token {_after(event, 'label')}"


def _request_approved(event: AuditEvent) -> str:
    how = "for a while" if _after(event, "allowed_until") else "for good"
    return f"allowed {_access_request(event)} {how}"


def _exception_added(event: AuditEvent) -> str:
    permission = _after(event, "permission")
    return f"gave the access token {event.subject.name} an exception for {permission}"


def _exception_ended(event: AuditEvent) -> str:
    permission = _before(event, "permission")
    return f"ended the exception of the access token {event.subject.name} for {permission}"


def _rehearsal_started(event: AuditEvent) -> str:
    share = _after(event, "share")
    return f"began to rehearse the deactivation of {event.subject.name}: {share} % of its calls"


def _token_rotated(event: AuditEvent) -> str:
    successor = _after(event, "successor_label")
    said = f"rotated the access token {event.subject.name}"
    if _after(event, "close") == "self":
        said = "rotated this token"
        if _after(event, "instead_of"):
            said += " again, because nobody had used the new one"
    return said + (f"; {successor} replaces it" if successor else "")


def _reuse_detected(event: AuditEvent) -> str:
    ended = _counted(_after(event, "access_tokens_ended") or 0, "token")
    return (
        f"The access token {event.subject.name} was used to rotate itself although its successor "
        f"was in use, which ended {ended} that follow from the same one"
    )


def _token_handed_over(event: AuditEvent) -> str:
    former, owner = _before(event, "owner_name"), _after(event, "owner_name")
    said = f"handed the access token {event.subject.name} over from {former} to {owner}"
    had, has = _before(event, "permissions"), _after(event, "permissions")
    if had is None or has is None:
        return said
    return f"{said} with only what {former}'s role still granted ({_difference(had, has)})"


def _role_changed(event: AuditEvent) -> str:
    former, now = (
        (fields or {}).get("role_name") or (fields or {}).get("role")
        for fields in (event.before, event.after)
    )
    return f"changed the role of {event.subject.name} from {former} to {now}"


def _user_deactivated(event: AuditEvent) -> str:
    said, rest = f"deactivated the user {event.subject.name}", _after(event, "access_tokens")
    handed_over, owner = _after(event, "handed_over"), _after(event, "owner_name")
    if not handed_over:
        also = {
            "deactivate": " and their access tokens",
            "keep": "; their access tokens were kept, but are refused",
        }
        return said + also.get(rest, "")
    if rest == "deactivate":
        return f"{said} and their access tokens, but handed {handed_over:,} over to {owner}"
    others = "; the others were kept, but are refused" if rest == "keep" else ""
    return f"{said} and handed {_counted(handed_over, 'access token')} over to {owner}{others}"


def _user_renamed(event: AuditEvent) -> str:
    if _own(event):
        return f"changed their name from {_before(event, 'name')} to {_after(event, 'name')}"
    return _renamed(event, "name", "user")


def _invitation_delivered(event: AuditEvent) -> str:
    if _after(event, "demo"):
        return f"The invitation to {event.subject.name} appeared on the demo's mail page"
    return f"The mail server accepted the mail with the invitation to {event.subject.name}"


def _invitation_not_mailed(event: AuditEvent) -> str:
    return f"No mail server is set up, so the invitation to {event.subject.name} wasn't mailed"


def _email_change_requested(event: AuditEvent) -> str:
    addresses = f"from {_before(event, 'email')} to {_after(event, 'email')}"
    return f"requested a change of {_whose(event)} e-mail address {addresses}"


def _email_changed(event: AuditEvent) -> str:
    addresses = f"from {_before(event, 'email')} to {_after(event, 'email')}"
    if event.actor_kind == "command line":
        return f"The command line changed the e-mail address of {event.subject.name} {addresses}"
    return f"The e-mail address of {event.subject.name} changed {addresses}, confirmed by its link"


def _identity_linked(event: AuditEvent) -> str:
    return f"{event.subject.name} was linked to their account at {_after(event, 'issuer')}"


def _identity_unlinked(event: AuditEvent) -> str:
    return f"unlinked {_whose(event)} account at {_before(event, 'issuer')}"


def _role_modified(event: AuditEvent) -> str:
    name, permissions = _after(event, "name"), _after(event, "permissions")
    said = [_renamed(event, "name", "role")] if name else []
    if permissions is not None:
        of = f" of the role {event.subject.name}" if not name else ""
        difference = _difference(_before(event, "permissions") or [], permissions)
        how = f" ({difference})" if difference else ""
        said.append(f"changed {'its' if name else 'the'} permissions{of}{how}")
    return _listed(said) or _plainly(event)


def _difference(before: list[str], after: list[str]) -> str:
    added, removed = len(set(after) - set(before)), len(set(before) - set(after))
    parts = [f"{added:,} added"] * bool(added) + [f"{removed:,} removed"] * bool(removed)
    return ", ".join(parts)


def _networks(fields: dict[str, Any] | None) -> list[str]:
    return [entry["network"] for entry in (fields or {}).get("entries", ())]


def _allowlist_changed(event: AuditEvent) -> str:
    before, after = (_networks(fields) for fields in (event.before, event.after))
    if not before:
        return f"restricted the account to {_counted(len(after), 'network')}"
    difference = _difference(before, after) or "other notes"
    return f"changed the allowlist: {difference}, {_counted(len(after), 'network')} in all"


def _trial_started(event: AuditEvent) -> str:
    number = len(_networks(event.after))
    return f"started a trial of an allowlist with {_counted(number, 'network')}"


def _company_modified(event: AuditEvent) -> str:
    required = _after(event, "second_factor_required")
    if list(event.after or ()) == ["second_factor_required"]:
        return f"made a second factor {'mandatory' if required else 'optional'} for everyone"
    if list(event.after or ()) == ["name"]:
        return _renamed(event, "name", "company")
    what = _listed([_words(name) for name in event.after or ()]) or "settings"
    return f"changed the {what} of the company {event.subject.name}"


def _restored(event: AuditEvent) -> str:
    at = _after(event, "backup_at")
    when = f" taken {datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return f"restored everything from a backup{when}"


def _ended_too(event: AuditEvent) -> str:
    number = _after(event, "authentications_ended")
    return f", which ended {_counted(number, 'sign-in')}" if type(number) is int and number else ""


def _provider_revocation(event: AuditEvent) -> str:
    numbers = [_after(event, f"{what}_ended") for what in ("access_tokens", "authentications")]
    ended = [
        _counted(number, noun)
        for number, noun in zip(numbers, ("access token", "sign-in"), strict=True)
        if type(number) is int and number
    ]
    what = f", which ended {_listed(ended)}" if ended else ""
    return f"The sign-in provider revoked all tokens of {event.subject.name}{what}"


def _token_expiring(event: AuditEvent) -> str:
    days = _after(event, "days") or 0
    unless = " unless it is used" if _after(event, "because") == "unused" else ""
    ends = "ends" if unless else "expires"
    return f"The access token {event.subject.name} {ends} in {_counted(days, 'day')}{unless}"


#: Why a record ended, where that isn't simply its actor's decision (``Actor.cause``).
CAUSES = {
    "reported": ", which somebody reported as leaked",
    "rotation": ", which was replaced",
    "unapproved": ", which nobody approved within seven days",
    "unused": ", which nobody used",
    "reuse": ": a token that it had replaced, or that replaced it, rotated itself once more",
}

#: Shorter times would read as 0.00 s.
_IMMEDIATELY_MS = 10


def _refused_everywhere(what: str, end: str = "deactivation") -> Callable[[AuditEvent], str]:
    def said(event: AuditEvent) -> str:
        verifiers, confirmed, silent, slowest = (
            _after(event, name) or 0 for name in ("verifiers", "confirmed", "silent", "slowest_ms")
        )
        how = f"refused by {confirmed:,} of {_counted(verifiers, 'server')}"
        if not verifiers:
            how = "no server was running that could have allowed it"
        elif confirmed:
            last = f", the last after {elapsed(slowest)}"
            how += " immediately" if slowest < _IMMEDIATELY_MS else last
        if silent:
            was = "was" if silent == 1 else "were"
            how += f"; {silent:,} {was} unreachable for too long to allow anything"
        ended = what.format(event.subject.name, owner=_owner(event))
        return f"The {end} of {ended} is complete: {how}"

    return said


def elapsed(ms: int) -> str:
    """A duration: ``0.21 s``, ``12.4 s``, ``3 min 5 s``."""
    if ms < 10_000:
        return f"{ms / 1000:.2f} s"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes} min {seconds} s"


def _webhook_modified(event: AuditEvent) -> str:
    paused = _after(event, "paused")
    if list(event.after or ()) == ["paused"]:
        return f"{'paused' if paused else 'resumed'} the webhook {event.subject.name}"
    what = {"host": "address", "paused": "state"}
    changed = _listed([what.get(name, _words(name)) for name in event.after or ()])
    return f"changed the {changed or 'settings'} of the webhook {event.subject.name}"


def _webhook_paused(event: AuditEvent) -> str:
    gone = _after(event, "because") == "gone"
    why = "its receiver is gone" if gone else "an event failed for three days"
    return f"The webhook {event.subject.name} was paused: {why}"


_SAID: dict[str, _Said] = {
    "access_request.created": "asked for {name}",
    "access_request.approved": _request_approved,
    "access_request.denied": lambda event: f"denied {_access_request(event)}",
    "access_token.created": _token_created,
    "access_token.imported": _token_created,
    "access_token.modified": _token_modified,
    "access_token.rotated": _token_rotated,
    "access_token.handed_over": _token_handed_over,
    "access_token.pending": "asked for the approval of the access token {name}",
    "access_token.approved": "approved the access token {name}",
    "access_token.exception_added": _exception_added,
    "access_token.exception_ended": _exception_ended,
    "access_token.rehearsal_started": _rehearsal_started,
    "access_token.rehearsal_ended": "ended the rehearsal of {name}",
    "allowlist.changed": _allowlist_changed,
    "allowlist.lifted": "removed the allowlist",
    "allowlist.trial_started": _trial_started,
    "authentication.created": "signed in",
    "authentication.ended": "signed out",
    "authentication.deactivated": "deactivated a sign-in of {name}",
    "company.modified": _company_modified,
    "company.restored": _restored,
    "installation.restored": _restored,
    "invitation.created": "invited {name}{as_role}",
    "invitation.resent": "resent the invitation to {name}; its old link no longer works",
    "invitation.link_taken": "copied the link of the invitation to {name}; its old link no longer "
    "works",
    "invitation.accepted": "accepted the invitation to {name}",
    "invitation.deactivated": "deactivated the invitation to {name}",
    "owner.created": "created {owner}{as_role}",
    "owner.modified": _owner_modified,
    "owner.deactivated": "deactivated {owner} and its access tokens",
    "portal_session.created": "opened a portal session for {name}",
    "portal_session.deactivated": "deactivated a portal session for {name}",
    "catalogue.published": "published {name} of the catalogue",
    "role.modified": _role_modified,
    "token_policy.changed": "changed the policy for access tokens",
    "user.created": "created the user {name}{as_role}",
    "user.role_changed": _role_changed,
    "user.deactivated": _user_deactivated,
    "user.renamed": _user_renamed,
    "user.email_change_requested": _email_change_requested,
    "user.email_change_cancelled": "cancelled the change of {whose} e-mail address to {email}",
    "user.operator_named": "made {name} an operator",
    "user.operator_removed": "removed {name} as an operator",
    "user.password_changed": "changed {whose} password{ended_too}",
    "user.password_reset_link_taken": "created a link to reset the password of {name}",
    "user.second_factor_enabled": "turned on {whose} second factor",
    "user.second_factor_disabled": "turned off {whose} second factor",
    "user.recovery_code_used": "used one of {whose} recovery codes",
    "user.recovery_codes_replaced": "replaced {whose} recovery codes; the old ones no longer work",
    "user.identity_unlinked": _identity_unlinked,
    "webhook.modified": _webhook_modified,
    "webhook.secret_rotated": "rotated the secret of the webhook {name}",
    "user.unlocked": "cleared {whose} failed sign-ins",
}
# Events without a known actor.
_WITHOUT_ACTOR: dict[str, _Said] = {
    "access_request.refused_everywhere": _refused_everywhere("an exception for {}", "end"),
    "access_token.decoy_used": _decoy_used,
    "access_token.expiring": _token_expiring,
    "access_token.expired": "The access token {name} has expired",
    "access_token.refused_everywhere": _refused_everywhere("the access token {}"),
    "access_tokens.refused_everywhere": _refused_everywhere("{}"),
    "authentication.refused_everywhere": _refused_everywhere("a sign-in of {}"),
    "owner.refused_everywhere": _refused_everywhere("{owner}"),
    "user.refused_everywhere": _refused_everywhere("the user {}"),
    "verifier_key.refused_everywhere": _refused_everywhere("the verifier key {}"),
    "company.refused_everywhere": _refused_everywhere("the company {}"),
    "admin_key.refused_everywhere": _refused_everywhere("the admin key {}"),
    "access_token.reuse_detected": _reuse_detected,
    "access_token.used_late": "An old text of the access token {name}, which has rotated itself, "
    "was used after it expired",
    "authentication.refused": "A sign-in as {name} failed",
    "catalogue.changed": "The catalogue changed the roles of {name}",
    "history.shortened": _history_shortened,
    "invitation.delivered": _invitation_delivered,
    "invitation.not_mailed": _invitation_not_mailed,
    "portal_session.redeemed": "The portal session for {name} was redeemed by its page",
    "webhook.paused": _webhook_paused,
    "user.email_changed": _email_changed,
    "user.identity_linked": _identity_linked,
    "verifier_key.reported": "Somebody reported the verifier key {name} as leaked",
    "user.provider_revocation": _provider_revocation,
    "user.provider_logout": "The sign-in provider signed {name} out{ended_too}",
    "user.password_reset_requested": "A link to reset the password of {name} was requested",
    "user.password_reset": "The password of {name} was reset through a link{ended_too}",
}
