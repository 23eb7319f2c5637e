"""What companies require of their access tokens, and who may read and replace it."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert, select, update

from gatepass.core.catalogue import Catalogue
from gatepass.core.token_policy import NO_POLICY, TokenPolicy
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.days import days_problem, read_days
from gatepass.registry.input.permissions import read_permissions
from gatepass.registry.input.text import Problems, read_items
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.rows import record_of, require_unchanged
from gatepass.registry.storage.tables import token_policies
from gatepass.registry.tokens.input import MOST_UNUSED_DAYS

#: Bounds, in days.
LONGEST_LIFE_DAYS, MOST_WARN_DAYS = 3_650, 365
#: The most warnings before an expiry.
MOST_WARNINGS = 10


def of(reading: Reading, company: str) -> TokenPolicy:
    """The policy of the company with that id. Performs no permission check."""
    row = _row(reading, company)
    if row is None:
        return NO_POLICY
    return record_of(
        TokenPolicy,
        row,
        approval_required=tuple(row.approval_required),
        warn_days=tuple(row.warn_days),
    )


def own(reading: Reading, actor: Actor) -> TokenPolicy:
    """The policy of the actor's company.

    Raises:
        Forbidden: without ``company:get``.
    """
    actor.require("company:get")
    return of(reading, actor.company or "")


def etag(policy: TokenPolicy) -> str:
    """The version of a policy."""
    return etag_of(asdict(policy))


def read(given: Mapping[str, object], catalogue: Catalogue) -> TokenPolicy:
    """Parse a policy, of which *given* has all fields.

    Raises:
        InvalidInput: with all errors of the fields.
    """
    problems = Problems()
    required = given["networks_required"]
    if not isinstance(required, bool):
        problems.add("networks_required", "Must be true or false.")
    policy = TokenPolicy(
        read_days("longest_life_days", given["longest_life_days"], LONGEST_LIFE_DAYS, problems),
        bool(required),
        read_days("unused_days", given["unused_days"], MOST_UNUSED_DAYS, problems),
        tuple(_approvals(given["approval_required"], catalogue, problems)),
        _warnings(given["warn_days"], problems),
    )
    problems.settle()
    return policy


def replace(
    change: Change,
    actor: Actor,
    given: Mapping[str, object],
    *,
    catalogue: Catalogue,
    if_match: Collection[str] | None = None,
) -> TokenPolicy:
    """Replace the policy of the actor's company. Idempotent; ends no token.

    Args:
        given: all fields of the new one.
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        InvalidInput: with all errors of the fields.
        Conflict: ``changed_meanwhile``, with the ``current`` policy.
    """
    actor = acting(change, actor, "company:modify", person=True)
    company = companies.get(change, actor.company or "")
    before = of(change, company.id)
    require_unchanged(before, etag(before), if_match, "the policy")
    after = read(given, catalogue)
    if after == before:
        return after
    _write(change, company.id, after)
    log.record(
        change,
        actor,
        "token_policy.changed",
        Subject("company", company.id, company.name),
        company=company.id,
        **_changed(before, after),
    )
    return after


def _row(reading: Reading, company: str) -> Row[Any] | None:
    return reading.session.execute(
        select(token_policies).where(token_policies.c.company_id == company)
    ).one_or_none()


def _write(change: Change, company: str, policy: TokenPolicy) -> None:
    values = asdict(policy)
    if _row(change, company) is None:
        change.session.execute(insert(token_policies), {"company_id": company, **values})
    else:
        change.session.execute(
            update(token_policies).where(token_policies.c.company_id == company).values(values)
        )


def _changed(before: TokenPolicy, after: TokenPolicy) -> dict[str, dict[str, Any]]:
    former, now = asdict(before), asdict(after)
    names = [name for name in now if now[name] != former[name]]
    return {
        "before": {name: former[name] for name in names},
        "after": {name: now[name] for name in names},
    }


def _approvals(value: object, catalogue: Catalogue, problems: Problems) -> list[str]:
    if value in ([], ()):
        return []
    return read_permissions(value, catalogue, problems, of_role=False, field="approval_required")


def _warnings(value: object, problems: Problems) -> tuple[int, ...]:
    days = set()
    for number, each in enumerate(read_items("warn_days", value, MOST_WARNINGS, problems)):
        if type(each) is int and 1 <= each <= MOST_WARN_DAYS:
            days.add(each)
        else:
            problems.add(f"warn_days.{number}", days_problem(MOST_WARN_DAYS))
    return tuple(sorted(days, reverse=True))
