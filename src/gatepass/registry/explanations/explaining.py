"""Explanations of calls: of one that is tried, and of one that was refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row

from gatepass.core.catalogue import Catalogue
from gatepass.core.decision import Call, admit, decide
from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.core.explanation import Check, Explanation, Rule
from gatepass.core.grants import DECOY
from gatepass.core.networks import parse_address, parse_network
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute
from gatepass.registry.actor import Actor
from gatepass.registry.directory import role_records
from gatepass.registry.explanations import fixes
from gatepass.registry.explanations.asked import Asked
from gatepass.registry.explanations.change import Change, read_change
from gatepass.registry.explanations.fixes import Fix
from gatepass.registry.grants.publishing import published_of_actor
from gatepass.registry.network_policy import allowlist_entries
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import store
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.calls.observed_calls import CallRecord, Refusal
from gatepass.registry.tokens.policy import token_policies

_UNMATCHED = (Reason.path_ambiguous, Reason.route_unknown)


@dataclass(frozen=True, slots=True)
class Question:
    """A call to try: a permission, method and path, or all three.

    Attributes:
        address: its text; one that can't be read is no address.
        origin, referer: the headers; None where a header is absent.
        at: the time of the call, in Unix ms; None is now.
        change: what would be different (``change.read_change``); None is nothing.
    """

    permission: str | None = None
    method: str | None = None
    path: str | None = None
    address: str | None = None
    origin: str | None = None
    referer: str | None = None
    at: int | None = None
    change: Mapping[str, Any] | None = None

    def call(self, catalogue: Catalogue) -> Call:
        """As a decision takes it.

        Raises:
            InvalidInput: for ``permission``, ``method`` or ``path``.
        """
        errors = []
        if self.permission is not None and not is_permission(self.permission):
            errors.append(("permission", "Must be a permission such as charges:create."))
        if (self.method is None) != (self.path is None):
            missing = "path" if self.path is None else "method"
            errors.append((missing, "Must be given: method and path go together."))
        if self.permission is None and self.method is None and self.path is None:
            errors.append(("permission", "Must be given, or method and path."))
        if errors:
            raise InvalidInput(errors)
        route = None
        if self.method is not None:
            route = catalogue.routes.match(self.method, self.path or "")
        return Call(
            Reason.token_missing,  # ``explain`` presents the token.
            permission=self.permission,
            route=route,
            address=parse_address(self.address),
            origin=self.origin,
            referer=self.referer,
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer to a question: the decision, the ten checks, and what would allow the call."""

    explanation: Explanation
    fixes: list[Fix]

    @property
    def allowed(self) -> bool:
        """Whether the call is allowed."""
        return self.explanation.decision.allowed

    @property
    def reason(self) -> str:
        """Why."""
        return self.explanation.decision.reason.value

    @property
    def status(self) -> int:
        """The HTTP status of the answer to the call."""
        return self.explanation.decision.status

    @property
    def needed(self) -> tuple[str, ...]:
        """The permissions that the call needs."""
        return self.explanation.decision.needed

    @property
    def checks(self) -> tuple[Check, ...]:
        """The ten checks."""
        return self.explanation.checks


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """Equal calls that were refused, and why they would be now.

    Attributes:
        access_token: the token's id.
    """

    access_token: str
    call: CallRecord
    explanation: Explained


def explain(
    reading: Reading, actor: Actor, token_id: str, question: Question, *, catalogue: Catalogue
) -> Explained:
    """Explain a call of a token as it would be decided. Nothing is stored.

    An access token explains its own calls, for which it needs no permission, and no others. In a
    portal session the token is one of its owner's.

    Raises:
        Forbidden: without ``access-tokens:get``; ``signed_in_user_required``: an access token asks
            about another one, or about a change; as ``read_change`` says.
        NotFound: there is none that the actor sees, or it is a decoy.
        InvalidInput: with the errors of the fields, or of the change.
    """
    if actor.kind != "token":
        actor.require("access-tokens:get", portal=True)
    elif token_id != actor.credential or question.change is not None:
        raise Forbidden(
            "An access token can explain its own calls only, as everything is.",
            reason="signed_in_user_required",
        )
    row = _token(reading, actor, token_id)
    call = question.call(catalogue)
    change = Change()
    if question.change is not None:
        change = read_change(reading, actor, row, question.change, catalogue=catalogue)
    at = reading.now if question.at is None else question.at
    return _explained(reading, actor, row, call, at=at, change=change, catalogue=catalogue)


def refused_call(
    reading: Reading, actor: Actor, decision: str, *, catalogue: Catalogue
) -> RefusedCall:
    """Explain a call that was refused, by the id of the decision, as it would be decided now.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: none has the id yet, or any more; or it is of a token that the actor doesn't see.
    """
    actor.require("access-tokens:get", portal=True)
    found = observed_calls.refusal(reading, decision)
    if found is None:
        raise _no_decision()
    try:
        row = _token(reading, actor, found.token_id)
    except NotFound:
        raise _no_decision() from None
    call, rule = _made(found, catalogue)
    explained = _explained(
        reading,
        actor,
        row,
        call,
        at=reading.now,
        rule=rule,
        catalogue=catalogue,
        fixable="/" not in (found.call.address or ""),
        refused=found.call.reason,
    )
    return RefusedCall(row.id, found.call, explained)


def _token(reading: Reading, actor: Actor, token_id: str) -> Row[Any]:
    row = store.find(reading, actor.company, token_id, owner=actor.only_owner)
    if row.kind == DECOY:
        # Every use of it is a stranger's.
        raise NotFound("There is no such access token.")
    return row


def _no_decision() -> NotFound:
    return NotFound("There is no such decision.")


def _explained(
    reading: Reading,
    actor: Actor,
    row: Row[Any],
    call: Call,
    *,
    at: int,
    catalogue: Catalogue,
    rule: Rule = decide,
    change: Change | None = None,
    fixable: bool = True,
    refused: str | None = None,
) -> Explained:
    grant, holder, company = published_of_actor(reading, row.id, row.owner_id, row.company_id)
    if grant is None:
        raise NotFound("There is no such access token.")
    if call.address is None and refused == Reason.address_not_allowed:
        # A call without an address is refused for it by a list alone.
        listed_in = None if company is None else company.allowlist_at(reading.now)
        garbage = grant.networks is None or listed_in is not None
        call = msgspec.structs.replace(call, address_garbage=garbage)
    sees_list, sees_roles = actor.may("company:get"), actor.may("roles:get")
    listed = allowlist_entries.load(reading, row.company_id) if sees_list else None
    roles = role_records.of_company(reading, catalogue, row.company_id) if sees_roles else None
    asked = Asked(
        token=row,
        grant=grant,
        holder=holder,
        company=company,
        call=call,
        at=at,
        now=reading.now,
        rule=rule,
        change=change or Change(),
        allowlist=listed,
        roles=roles,
        policy=token_policies.of(reading, row.company_id),
        catalogue=catalogue,
    )
    return Explained(asked.explain(asked.change), fixes.find(asked) if fixable else [])


def _made(refusal: Refusal, catalogue: Catalogue) -> tuple[Call, Rule]:
    """A call as far as it was kept, and what decided it.

    The control plane's own calls name neither permission nor route. Nor does a call whose path the
    catalogue lacks, if an earlier check refused it.
    """
    kept, needed = refusal.call, refusal.needed
    reason = Reason(kept.reason) if kept.reason is not None else None
    route: CatalogueRoute | Reason | None = None
    if kept.route is not None:
        route = _route(f"{kept.method} {kept.route}", catalogue)
    elif reason in _UNMATCHED:
        route = reason
    permission = needed[0] if needed and (len(needed) > 1 or kept.route is None) else None
    address = kept.address
    if address is not None and "/" in address:
        # Many addresses of it called: each is decided like the first one, unless a list has some.
        packed: bytes | None = parse_network(address).address
    else:
        packed = parse_address(address)
    origin = kept.origin
    if origin is None and reason is Reason.origin_not_allowed:
        origin = "null"
    call = Call(
        Reason.token_missing,  # ``explain`` presents the token.
        permission=permission,
        route=route,
        address=packed,
        origin=origin,
    )
    named = permission is not None or route is not None
    return call, decide if named or reason is Reason.permission_missing else admit


def _route(text: str, catalogue: Catalogue) -> CatalogueRoute | Reason:
    """The catalogue's route of that text, as the catalogue is now."""
    method, _, path = text.partition(" ")
    for known in catalogue.permissions:
        if text in known.routes:
            return CatalogueRoute(text, method, path, known.name)
    return Reason.route_unknown
