"""Requires a company's policy of its access tokens when they are created, changed and replaced.

A token that breaks a policy, because it is older, stays as it is, and its other fields can be
changed. A decoy opens nothing, and is bound by none.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from gatepass.core import token_policy
from gatepass.core.errors import InvalidInput
from gatepass.core.grants import DECOY
from gatepass.core.token_policy import Limits
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.policy import token_policies


def require_of_new(
    reading: Reading, company: str, kind: str, found: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields *found* of a new token of a company (an id), within its policy.

    Raises:
        InvalidInput: with an error by field.
    """
    if kind == DECOY:
        return dict(found)
    policy = token_policies.of(reading, company)
    fields = dict(found)
    if fields["unused_days"] is None:
        fields["unused_days"] = policy.unused_days
    new = {**fields, "kind": kind, "created_at": reading.now}
    _settle(token_policy.errors(policy, limits_of(new)))
    return fields


def require_of_changed(
    reading: Reading, token: Row[Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The changes *found* of a token, within its company's policy.

    Args:
        token: its row.

    Raises:
        InvalidInput: with an error by field.
    """
    if token.kind == DECOY:
        return dict(found)
    policy = token_policies.of(reading, token.company_id)
    fields = dict(found)
    if "unused_days" in fields and fields["unused_days"] is None:
        fields["unused_days"] = policy.unused_days
    former, changed = (limits_of({**token._mapping, **new}) for new in ({}, fields))
    _settle(token_policy.errors(policy, changed, former))
    return fields


def shortened(reading: Reading, company: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a token that a new one takes over, its times within the company's policy."""
    policy = token_policies.of(reading, company)
    times = {
        "expires_at": policy.latest_expiry(reading.now),
        "unused_days": policy.unused_days,
    }
    return {**settings, **{name: _least(settings[name], most) for name, most in times.items()}}


def limits_of(columns: Mapping[str, Any]) -> Limits:
    """What a policy looks at of a token with these columns."""
    return Limits(**{field.name: columns[field.name] for field in dataclasses.fields(Limits)})


def _least(value: int | None, most: int | None) -> int | None:
    return min((each for each in (value, most) if each is not None), default=None)


def _settle(errors: Sequence[tuple[str, str]]) -> None:
    if errors:
        raise InvalidInput(errors)
