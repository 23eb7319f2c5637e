"""What becomes of the access tokens of a user who is deactivated: ended, kept or handed over.

A token that is handed over keeps its text, settings and history, and belongs to another owner of
the company. Performs no permission check: the operation that deactivates the user does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import Row, select, update

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, InvalidInput
from gatepass.core.grants import SERVICE_ACCOUNT, USER
from gatepass.core.hand_over import kept, lacking
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import publish_grants, published_roles
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import status_of, update_row
from gatepass.registry.storage.tables import access_tokens, audit_events
from gatepass.registry.tokens import exception_records, store
from gatepass.registry.tokens.ending.of_owner import Left, deactivate_all, latest, unended
from gatepass.registry.tokens.lists import indexing
from gatepass.registry.tokens.records import STORED, TokenOwner, grant_of
from gatepass.registry.tokens.temporary import exceptions
from gatepass.registry.tokens.token_owners import NewOwner

#: The most tokens that are handed over at once. All changes wait for this one.
MOST_TOKENS = 5_000
#: The most tokens that one request decides about by id.
MOST_CHOICES = 100
#: Who can get tokens: the company's own. An external owner is somebody else's customer.
RECIPIENTS = (USER, SERVICE_ACCOUNT)

Choice = Literal["deactivate", "hand_over"]
Fate = Literal["deactivate", "keep", "hand_over"]

_AT_ONCE = 500
_NAMED = 5
_HANDED_OVER = "access_token.handed_over"
_token = access_tokens.c


@dataclass(frozen=True, slots=True)
class Recipient:
    """The owner who gets tokens: ``type`` is one of ``RECIPIENTS``; ``id`` may be ``ext:`` and a
    service account's external id."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Handling:
    """What becomes of a user's access tokens.

    Attributes:
        rest: of all that *each* doesn't name.
        to: who gets those that are handed over.
        each: of single ones, by id.
    """

    rest: Fate = "deactivate"
    to: Recipient | None = None
    each: Mapping[str, Choice] = field(default_factory=dict)

    @property
    def hands_over(self) -> bool:
        """Whether tokens are handed over."""
        return "hand_over" in (self.rest, *self.each.values())

    def require_valid(self) -> None:
        """Raise InvalidInput with all errors of the fields."""
        errors = []
        if self.rest not in get_args(Fate):
            errors.append(("access_tokens", 'Must be "deactivate", "keep" or "hand_over".'))
        if len(self.each) > MOST_CHOICES:
            errors.append(("tokens", f"Must name at most {MOST_CHOICES} access tokens."))
        errors += [
            (f"tokens.{id}", 'Must be "deactivate" or "hand_over".')
            for id, choice in self.each.items()
            if choice not in get_args(Choice)
        ]
        if self.to is None:
            if self.hands_over:
                errors.append(("to", "Must be given, to hand access tokens over."))
        elif not self.hands_over:
            errors.append(("to", "Must be left out, unless access tokens are handed over."))
        elif self.to.type not in RECIPIENTS:
            errors.append(("to.type", 'Must be "user" or "service_account".'))
        if errors:
            raise InvalidInput(errors)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``carry_out`` does, checked.

    Attributes:
        handed_over: rows of ``records.STORED``, the oldest first.
        to: who gets them; None if nobody does.
        ended: ids of those that are deactivated by choice.
        rest: what becomes of all others.
        former_role: the permissions of the leaver's role.
    """

    leaver: User
    handed_over: Sequence[Row[Any]]
    to: TokenOwner | None
    ended: Sequence[str]
    rest: Fate
    former_role: frozenset[str]

    @property
    def narrowed(self) -> int:
        """How many tokens lose permissions that the leaver's role doesn't grant any more."""
        return sum(_kept(self, row) != row.permissions for row in self.handed_over)


def prepare(reading: Reading, leaver: User, handling: Handling, to: NewOwner | None) -> Prepared:
    """Find the tokens of *leaver*, an active user, and check that *to* may get them.

    Expired ones are handed over as well and stay expired; so nothing is asked of them.

    Raises:
        InvalidInput: for ``tokens``; one isn't the leaver's.
        Conflict: ``role_too_small``, with an error for each token that has a permission which the
            role of *to* doesn't grant; ``too_many``: more than ``MOST_TOKENS`` would be handed
            over; ``token_deactivated``: one that is to be handed over.
    """
    ended = _chosen(reading, leaver, handling)
    rows = _handed_over(reading, leaver, handling)
    if to is not None:
        _require_fitting(reading, rows, to)
    owner = None if to is None else to.owner
    role = published_roles(reading, leaver.company).get(leaver.role, frozenset())
    return Prepared(leaver, rows, owner, ended, handling.rest, role)


def carry_out(change: Change, actor: Actor, prepared: Prepared) -> None:
    """Hand tokens over and deactivate others, each with an audit event."""
    if prepared.to is not None:
        for start in range(0, len(prepared.handed_over), _AT_ONCE):
            batch = prepared.handed_over[start : start + _AT_ONCE]
            _hand_over(change, actor, prepared, batch, prepared.to)
    if prepared.rest == "deactivate":
        deactivate_all(change, actor, prepared.leaver.id)
    elif prepared.ended:
        store.revoke(change, actor, prepared.ended)


def handed_over_by(reading: Reading, leaver: User, *, limit: int) -> Left:
    """The tokens that were handed over when *leaver* was deactivated, the last used first.

    Performs no permission check.
    """
    event = audit_events.c
    rows = reading.session.execute(
        select(event.subject_id, event.before).where(
            event.company_id == leaver.company,
            event.action == _HANDED_OVER,
            event.at == leaver.deactivated_at,
        )
    )
    # Another user may have been deactivated in the same millisecond.
    ids = [row.subject_id for row in rows if row.before["owner"] == leaver.id]
    return latest(reading, _token.id.in_(ids), limit=limit)


def _chosen(reading: Reading, leaver: User, handling: Handling) -> list[str]:
    """The ids of the tokens to deactivate, of those that ``Handling.each`` names."""
    ids = [id for id in handling.each if storable(id)]
    theirs = select(_token.id, _token.deactivated_at).where(
        _token.id.in_(ids), _token.owner_id == leaver.id
    )
    found = {row.id: row.deactivated_at is None for row in reading.session.execute(theirs)}
    problem = "Must be the id of an access token of this user."
    if errors := [(f"tokens.{id}", problem) for id in handling.each if id not in found]:
        raise InvalidInput(errors)
    for id, choice in handling.each.items():
        if choice == "hand_over" and not found[id]:
            raise Conflict(
                f"The access token {id} is deactivated and can't be handed over.",
                reason="token_deactivated",
            )
    return [id for id, choice in handling.each.items() if choice == "deactivate" and found[id]]


def _handed_over(reading: Reading, leaver: User, handling: Handling) -> list[Row[Any]]:
    if handling.rest == "hand_over":
        most = MOST_TOKENS + len(handling.each) + 1
        all_ = reading.session.scalars(select(_token.id).where(unended(leaver.id)).limit(most))
        ids = [id for id in all_ if handling.each.get(id) != "deactivate"]
    else:
        ids = [id for id, choice in handling.each.items() if choice == "hand_over"]
    if len(ids) > MOST_TOKENS:
        raise Conflict(
            f"At most {MOST_TOKENS:,} access tokens can be handed over at once. Deactivate those "
            "that nothing needs first.",
            reason="too_many",
        )
    rows: list[Row[Any]] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = _token.id.in_(ids[start : start + _AT_ONCE])
        rows += reading.session.execute(STORED.where(some))
    return sorted(rows, key=lambda row: (row.created_at, row.id))


def _require_fitting(reading: Reading, rows: Sequence[Row[Any]], to: NewOwner) -> None:
    """Raise Conflict (``role_too_small``) unless the role of *to* grants all that they have."""
    errors = [
        (f"tokens.{row.id}", f"Has {', '.join(missing)}, which the new owner's role doesn't grant.")
        for row in rows
        if status_of(row, reading.now) == "active"
        and (missing := lacking(row.permissions, to.role))
    ]
    if errors:
        ids = [field.partition(".")[2] for field, _ in errors[:_NAMED]]
        more = f" and {len(errors) - _NAMED:,} more" * (len(errors) > _NAMED)
        raise Conflict(
            f"The role of {isolated(to.owner.name)} doesn't grant all permissions of "
            f"{', '.join(ids)}{more}.",
            reason="role_too_small",
            errors=errors,
        )


def _kept(prepared: Prepared, row: Row[Any]) -> list[str]:
    """The permissions of a token after the hand-over."""
    return list(kept(row.permissions, prepared.former_role))


def _hand_over(
    change: Change, actor: Actor, prepared: Prepared, rows: Sequence[Row[Any]], to: TokenOwner
) -> None:
    ids = [row.id for row in rows]
    # Its exceptions were meant for the former owner's use.
    exceptions.drop(change, rows)
    values = {"owner_id": to.id, **exception_records.columns_of(())}
    change.session.execute(update(access_tokens).where(_token.id.in_(ids)).values(values))
    grants, whole = [], []
    for row in rows:
        permissions = _kept(prepared, row)
        after = {**row._mapping, **values, "permissions": permissions}
        grants.append(grant_of(after))
        if permissions == row.permissions:
            whole.append(row)
        else:
            update_row(change, access_tokens, row.id, permissions=permissions)
            indexing.replace(change, row._mapping, after)
            _record(change, actor, [row], to, {"permissions": permissions})
    publish_grants(change, grants)
    _record(change, actor, whole, to, {})


def _record(
    change: Change,
    actor: Actor,
    rows: Sequence[Row[Any]],
    to: TokenOwner,
    narrowed: Mapping[str, Any],
) -> None:
    """Write the events of tokens that were handed over by the same owner to another.

    Args:
        narrowed: the fields that changed besides the owner.
    """
    if not rows:
        return
    former = rows[0]
    before = {"owner": former.owner_id, "owner_name": former.owner_name}
    log.record_each(
        change,
        actor,
        _HANDED_OVER,
        [Subject("access_token", row.id, row.label) for row in rows],
        company=former.company_id,
        before=before | {name: getattr(former, name) for name in narrowed},
        after={"owner": to.id, "owner_name": to.name, **narrowed},
    )
