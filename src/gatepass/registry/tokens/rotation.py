"""Rotation: a new token replaces an old one, which closes now, after a while, or when it is silent.

The new token has the old one's owner and settings, and as long a life, or as long as the company's
policy allows. Whatever happens, the old one closes by its expiry: that is set here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import USER
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies
from gatepass.registry.directory.owner_roles import fits_owners
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.input.text import label_problem
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import decoys, store, token_owners
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.registry.tokens.policy import approval, policy_enforcement
from gatepass.registry.tokens.records import AccessToken, grant_of
from gatepass.registry.tokens.rotation_records import BY_ITSELF, LONGEST_CLOSING_S, Close

#: The longest time, in seconds, after which the old token closes by the clock.
LONGEST_AFTER_S = LONGEST_CLOSING_S
#: The bounds and the default of the silence, in seconds, after which the old token closes.
SHORTEST_SILENCE_S, LONGEST_SILENCE_S, SILENCE_S = 3_600, 30 * 86_400, 86_400


@dataclass(frozen=True, slots=True)
class Closing:
    """How the old token closes, and the new one's label.

    Attributes:
        after: in seconds, for ``after``.
        silent_for: in seconds, for ``when_silent``; None is ``SILENCE_S``.
        label: None is the old one's.
        by_itself: whether the token rotates itself.
    """

    close: Close
    after: int | None = None
    silent_for: int | None = None
    label: str | None = None
    by_itself: bool = False

    @property
    def stored(self) -> str:
        """As the token's row has it."""
        return BY_ITSELF if self.by_itself else self.close

    def require_valid(self) -> None:
        """Raise InvalidInput with all errors of the fields."""
        errors = [
            *self._of_seconds("after", self.after, "after", 1, LONGEST_AFTER_S),
            *self._of_seconds(
                "silent_for", self.silent_for, "when_silent", SHORTEST_SILENCE_S, LONGEST_SILENCE_S
            ),
        ]
        if self.close == "after" and self.after is None:
            errors.append(("after", "Must be given."))
        problem = None if self.label is None else label_problem(self.label)
        if problem is not None:
            errors.append(("label", problem))
        if errors:
            raise InvalidInput(errors)

    def _of_seconds(
        self, field: str, value: int | None, close: Close, least: int, most: int
    ) -> list[tuple[str, str]]:
        if value is None:
            return []
        if self.close != close:
            return [(field, f"Must be left out, unless close is {close}.")]
        if not least <= value <= most:
            return [(field, f"Must be {least} to {most} seconds.")]
        return []

    def closes_at(self, expires_at: int | None, now: int) -> int:
        """When the old token, which expires at *expires_at*, closes at the latest (Unix ms), if
        not now."""
        seconds = LONGEST_AFTER_S if self.after is None else self.after
        latest = now + 1_000 * seconds
        return latest if expires_at is None else min(latest, expires_at)


def rotate(
    change: Change, actor: Actor, token_id: str, closing: Closing
) -> tuple[AccessToken, str]:
    """Replace a token; return the new one with its text, which can't be read again.

    A portal session needs no permission but those of the token, which must be its owner's. The
    command line replaces any token.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:create`` or a permission of
            the token; ``not_owner``: it is another user's; without ``service-accounts:manage`` if
            it is a service account's or an external owner's.
        NotFound: there is none, or it is another company's.
        InvalidInput: with all errors of the fields; or, of the new token's, those by the company's
            policy: it requires networks, and the old one has none.
        Conflict: ``already_rotated``, ``token_deactivated``, ``token_expired``,
            ``token_pending``, ``decoy``, each with the ``current`` record; ``owner_deactivated``;
            ``approval_required``: it would close now, and the new one waits for a second person.
    """
    actor = acting(change, actor, "access-tokens:create", person=True, portal=True)
    row = store.find(change, actor.company, token_id, owner=actor.only_owner)
    if actor.kind == "user" and row.owner_id != actor.user:
        if row.owner_type == USER:
            raise Forbidden(
                "Only its owner can rotate an access token of a user.", reason="not_owner"
            )
        actor.require("service-accounts:manage")
    _require_replaceable(change, row)
    closing.require_valid()
    actor.require_held(row.permissions)
    return _replace(change, actor, row, closing)


def rotate_owned(
    change: Change, actor: Actor, company: str, token_id: str, closing: Closing
) -> tuple[AccessToken, str]:
    """Replace a token of a service account or an external owner, for its platform.

    Args:
        company: its id, or ``ext:`` and its external id.

    Raises:
        Forbidden: as ``acting`` says for the area ``tokens``; people of the company gave it a
            permission that is closed to owners.
        NotFound: there is no such company, it has no such token, it is a user's, or the admin key
            is limited to another company.
        InvalidInput, Conflict: as ``rotate`` says; ``company_deactivated``.
    """
    actor = acting(change, actor, area="tokens")
    row = store.find(change, companies.find_active(change, actor, company).id, token_id)
    if row.owner_type == USER:
        raise NotFound("Only the users of the company can rotate a user's access token.")
    _require_replaceable(change, row)
    closing.require_valid()
    if not fits_owners(row.permissions):
        raise Forbidden("This token has permissions of Gatepass; here it can only be deactivated.")
    return _replace(change, actor, row, closing)


def _require_replaceable(change: Change, row: Row[Any]) -> None:
    token = store.token_of(change, row)
    decoys.refuse(token, "replaced")
    if row.replaced_by is not None:
        raise Conflict(
            f"This token was replaced by {row.replaced_by} already.",
            reason="already_rotated",
            current=token,
        )
    store.require_active(token, "replaced")


def _replace(
    change: Change, actor: Actor, row: Row[Any], closing: Closing
) -> tuple[AccessToken, str]:
    changed: dict[str, Any] = {"replaces": row.id, "expires_at": renewed(row, change.now)}
    changed |= approval.first_persons_kept(row, actor)
    if closing.label is not None:
        changed["label"] = closing.label
    token, text = add_copy(change, actor, row, changed, may_wait=closing.close != "now")
    begin_closing(change, actor, row, closing, token)
    return token, text


def renewed(row: Row[Any], now: int) -> int | None:
    """A new token's expiry: as long from now as that of the token of *row* from its creation."""
    expires_at: int | None = row.expires_at
    return None if expires_at is None else min(now + expires_at - row.created_at, LATEST_EXPIRY)


def add_copy(
    change: Change, actor: Actor, row: Row[Any], changed: Mapping[str, Any], *, may_wait: bool
) -> tuple[AccessToken, str]:
    """Create a token with the owner, settings and approval of another one; return it with its text.

    Args:
        row: of ``records.STORED``, that of the other one; it loses its external id.
        changed: the settings that differ; and ``replaces``. Their times are shortened as the
            company's policy requires.
        may_wait: whether it may be pending: the other one works until it is approved.

    Raises:
        InvalidInput: by the company's policy: it requires networks, and the other one has none.
        Conflict: ``owner_deactivated``; ``approval_required``, with the ``current`` record.
    """
    new_owner = token_owners.of_token(change, row)
    same = {name: getattr(row, name) for name in CHANGEABLE}
    settings = policy_enforcement.shortened(change, row.company_id, {**same, **changed})
    settings |= approval.kept(row)
    if not may_wait and approval.of_new_token(change, row.company_id, settings):
        raise Conflict(
            "The new token would wait for a second person, while the old one ends.",
            reason="approval_required",
            current=store.token_of(change, row),
        )
    # It moves to the new token; both are active for a while, and it names one.
    update_row(change, access_tokens, row.id, external_id=None)
    return store.add(change, actor, row.company_id, new_owner, settings, kind=row.kind)


def begin_closing(
    change: Change,
    actor: Actor,
    row: Row[Any],
    closing: Closing,
    successor: AccessToken,
    *,
    instead_of: str | None = None,
) -> None:
    """Let a token close that *successor* replaces.

    Args:
        row: of ``records.STORED``.
        instead_of: the id of its former successor.
    """
    close, at_once = closing.close, closing.close == "now"
    silent_for = SILENCE_S if closing.silent_for is None else closing.silent_for
    values: dict[str, Any] = {
        "external_id": None,
        "replaced_by": successor.id,
        "rotated_at": change.now,
        "rotation_close": closing.stored,
        "silent_for_ms": 1_000 * silent_for if close == "when_silent" else None,
    }
    after: dict[str, Any] = {"close": closing.stored, "replaced_by": successor.id}
    before: Mapping[str, Any] | None = None
    if instead_of is not None:
        after["instead_of"] = instead_of
    if successor.label != row.label:
        after["successor_label"] = successor.label
    if not at_once:
        values |= {"expires_at": closing.closes_at(row.expires_at, change.now), "lapsed_at": None}
        before = {"expires_at": row.expires_at}
        after["expires_at"] = values["expires_at"]
    update_row(change, access_tokens, row.id, **values)
    if not at_once:
        publish(change, grant_of({**row._mapping, **values}))
    subject = Subject("access_token", row.id, row.label)
    log.record(
        change,
        actor,
        "access_token.rotated",
        subject,
        company=row.company_id,
        before=before,
        after=after,
    )
    if at_once:
        store.revoke(change, replace(actor, cause="rotation"), [row.id])
