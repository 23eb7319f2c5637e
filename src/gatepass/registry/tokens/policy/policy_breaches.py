"""The active access tokens of a company that break a policy: how many, and the newest of them."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import DECOY
from gatepass.core.token_policy import DAY_MS, TokenPolicy, breaches
from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.input import KINDS
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.policy.policy_enforcement import limits_of
from gatepass.registry.tokens.records import AccessToken

#: At most this many are named, the newest first.
NAMED = 100

_token = access_tokens.c


@dataclass(frozen=True, slots=True)
class BreakingToken:
    """A token that breaks a policy.

    Attributes:
        breaks: the names of the rules that it breaks.
    """

    id: str
    label: str
    kind: str
    created_at: int
    breaks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyBreaches:
    """The tokens that break a policy.

    Attributes:
        count: of all that break at least one rule.
        by_rule: how many break each rule; rules that the policy lacks aren't named.
        items: the ``NAMED`` newest.
    """

    count: int
    by_rule: Mapping[str, int]
    items: list[BreakingToken]


def preview(
    reading: Reading, actor: Actor, given: Mapping[str, object], *, catalogue: Catalogue
) -> PolicyBreaches:
    """The tokens of the actor's company that the policy *given* wouldn't allow as they are.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        InvalidInput: with all errors of the fields.
    """
    actor.require_signed_in()
    actor.require("company:modify")
    return of_company(reading, actor.company or "", token_policies.read(given, catalogue))


def of_token(policy: TokenPolicy, token: AccessToken) -> Collection[str]:
    """The names of the rules of *policy* that a token breaks."""
    return () if token.kind == DECOY else breaches(policy, limits_of(asdict(token)))


def of_company(reading: Reading, company: str, policy: TokenPolicy) -> PolicyBreaches:
    """The tokens of the company with that id that break *policy*."""
    broken = _conditions(policy)
    if not broken:
        return PolicyBreaches(0, {}, [])
    active = and_(
        _token.company_id == company,
        _token.kind.in_(set(KINDS) - {DECOY}),
        _token.deactivated_at.is_(None),
        or_(_token.expires_at.is_(None), _token.expires_at > reading.now),
    )
    any_rule = or_(*broken.values())
    counted = [func.sum(case((rule, 1), else_=0)) for rule in broken.values()]
    count, *numbers = reading.session.execute(
        select(func.count(), *counted).where(active, any_rule)
    ).one()
    newest = reading.session.execute(
        select(access_tokens)
        .where(active, any_rule)
        .order_by(_token.created_at.desc(), _token.id.desc())
        .limit(NAMED)
    )
    by_rule = dict(zip(broken, (number or 0 for number in numbers), strict=True))
    return PolicyBreaches(count, by_rule, [_breaking(policy, dict(row._mapping)) for row in newest])


def _breaking(policy: TokenPolicy, columns: Mapping[str, Any]) -> BreakingToken:
    names = ("id", "label", "kind", "created_at")
    broken = breaches(policy, limits_of(columns))
    return BreakingToken(**{name: columns[name] for name in names}, breaks=tuple(broken))


def _conditions(policy: TokenPolicy) -> dict[str, ColumnElement[bool]]:
    """By rule of *policy*, the condition of the rows that break it, as ``breaches`` has it."""
    found: dict[str, ColumnElement[bool]] = {}
    if policy.longest_life_days is not None:
        latest = _token.created_at + policy.longest_life_days * DAY_MS
        found["longest_life_days"] = or_(_token.expires_at.is_(None), _token.expires_at > latest)
    if policy.networks_required:
        no_domains = or_(_token.kind != "ui", _token.domains == [])
        found["networks_required"] = and_(_token.networks == [], no_domains)
    if policy.unused_days is not None:
        most = policy.unused_days
        found["unused_days"] = or_(_token.unused_days.is_(None), _token.unused_days > most)
    return found
