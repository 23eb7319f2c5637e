"""The fields an event changed, as table rows: times as times, lists as additions and removals."""

from dataclasses import dataclass
from typing import Any

from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.sentences import elapsed

#: The longest list a table shows; exports contain all of it.
MOST_ITEMS = 20
_NAMES = {
    "accepted_at": "Accepted",
    "access_token": "Token",
    "allowed_until": "Allowed until",
    "access_tokens_ended": "Tokens ended",
    "authentications_ended": "Sign-ins ended",
    "backup_at": "Backup of",
    "close": "Closes",
    "deactivated_at": "Deactivated",
    "confirmed": "Confirmed by",
    "delivered_at": "Mail accepted",
    "each": "By server",
    "email": "E-mail address",
    "ends_at": "Ends",
    "entries": "Networks",
    "expires_at": "Expires",
    "handed_over": "Handed over",
    "instead_of": "Instead of",
    "lifetime_ms": "Lifetime",
    "longest_life_days": "Longest life in days",
    "median_ms": "Median",
    "slowest_ms": "Slowest",
    "silent": "Unreachable",
    "verifiers": "Servers",
    "networks": "IP addresses",
    "networks_required": "IP addresses required",
    "owner_name": "Owner",
    "replaced_by": "Replaced by",
    "replaces": "Replaces",
    "restored": "By restoring a backup",
    "role_name": "Role",
    "successor_label": "New label",
    "trial_until": "On trial until",
    "unused_days": "Days without use",
    "warn_days": "Warnings, in days",
}
# The sentence or another field shows these.
_LEFT_OUT = frozenset(("role", "accepted_by", "owner", "cause"))
_WORDS = {
    "api": "API",
    "ui": "UI",
    "decoy": "Decoy",
    "deactivate": "Deactivated",
    "keep": "Kept",
} | {
    "hand_over": "Handed over",
    "service_account": "Service account",
    "expiry": "It expires",
    "unused": "Nobody uses it",
    "external": "External owner",
    "now": "At once",
    "after": "After a while",
    "when_silent": "When it is silent",
    "self": "By itself, after a while",
}
_ANYTHING = frozenset(("networks", "domains"))
# What None means.
_UNSET = {
    "allowed_until": "For good",
    "expires_at": "Never",
    "longest_life_days": "Any",
    "unused_days": "Any",
}


@dataclass(frozen=True)
class Shown:
    """One side of a row.

    Attributes:
        text: in words; "" if *at* or *items* is set instead.
        at: a time (Unix ms).
        items: entries of a list; if both sides are lists, only those that the other side lacks.
        more: the number of further items.
        kept: how many entries both sides have.
    """

    text: str = ""
    at: int | None = None
    items: tuple[str, ...] = ()
    more: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Row:
    """One field."""

    name: str
    before: Shown
    after: Shown


def rows(event: AuditEvent) -> list[Row]:
    """A row for each field that changed, in the event's order."""
    before, after = event.before or {}, event.after or {}
    return [
        _row(field, before, after)
        for field in dict.fromkeys((*after, *before))
        if field not in _LEFT_OUT
    ]


def _row(field: str, before: dict[str, Any], after: dict[str, Any]) -> Row:
    name = _NAMES.get(field, field.replace("_", " ").capitalize())
    sides = [_flat(fields.get(field)) for fields in (before, after)]
    if isinstance(sides[0], list) and isinstance(sides[1], list):
        former, now = sides
        kept = set(former) & set(now)
        gone = [entry for entry in former if entry not in kept]
        new = [entry for entry in now if entry not in kept]
        return Row(
            name,
            _list(field, gone, empty=not former),
            _list(field, new, empty=not now, kept=len(kept)),
        )
    return Row(
        name,
        *(
            _shown(field, field in fields, side)
            for fields, side in zip((before, after), sides, strict=True)
        ),
    )


def _shown(field: str, is_set: bool, value: Any) -> Shown:
    if isinstance(value, list):
        return _list(field, value, empty=not value)
    if value is None:
        return Shown(_UNSET.get(field, "") if is_set else "")
    if isinstance(value, bool):
        return Shown("Yes" if value else "No")
    if type(value) is int and field.endswith(("_at", "_until")):
        return Shown(at=value)
    if type(value) is int and field.endswith("_ms"):
        return Shown(elapsed(value))
    if field in ("kind", "access_tokens", "because", "close"):
        return Shown(_WORDS.get(value, str(value)))
    return Shown(str(value))


def _list(field: str, entries: list[str], *, empty: bool, kept: int = 0) -> Shown:
    text = ("Any" if field in _ANYTHING else "None") if empty else ""
    return Shown(text, None, tuple(entries[:MOST_ITEMS]), max(0, len(entries) - MOST_ITEMS), kept)


def _flat(value: Any) -> Any:
    """*value*, or a list of texts if it is nested: networks with notes, permissions by role."""
    if isinstance(value, dict):
        return [
            f"{key}: {entry}"
            for key, entries in value.items()
            for entry in ([entries] if isinstance(entries, str) else entries)
        ]
    if isinstance(value, list):
        return [_entry(entry) for entry in value]
    return value


def _entry(entry: Any) -> str:
    if isinstance(entry, dict) and "network" in entry:
        note = entry.get("note")
        return f"{entry['network']} ({note})" if note else str(entry["network"])
    if isinstance(entry, dict) and "name" in entry:
        took = entry.get("after_ms")
        return f"{entry['name']}: {'unreachable' if took is None else elapsed(took)}"
    return str(entry)
