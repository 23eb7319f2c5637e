"""Reasons of decisions, and the HTTP status of each."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a call is allowed or denied. The words are stable: customers' scripts read them."""

    allowed = "allowed"
    token_missing = "token_missing"  # noqa: S105 - a reason, not a secret
    token_invalid = "token_invalid"  # noqa: S105 - a reason, not a secret
    token_deactivated = "token_deactivated"  # noqa: S105 - a reason, not a secret
    token_pending = "token_pending"  # noqa: S105 - a reason, not a secret
    token_rehearsed = "token_rehearsed"  # noqa: S105 - a reason, not a secret
    token_expired = "token_expired"  # noqa: S105 - a reason, not a secret
    account_deactivated = "account_deactivated"
    company_address_not_allowed = "company_address_not_allowed"
    address_not_allowed = "address_not_allowed"
    origin_missing = "origin_missing"
    origin_not_allowed = "origin_not_allowed"
    path_ambiguous = "path_ambiguous"
    route_unknown = "route_unknown"
    permission_missing = "permission_missing"


STATUS = {
    Reason.allowed: 200,
    Reason.token_missing: 401,
    Reason.token_invalid: 401,
    Reason.token_deactivated: 401,
    Reason.token_pending: 401,
    Reason.token_rehearsed: 401,
    Reason.token_expired: 401,
    Reason.account_deactivated: 401,
    Reason.company_address_not_allowed: 403,
    Reason.address_not_allowed: 403,
    Reason.origin_missing: 403,
    Reason.origin_not_allowed: 403,
    Reason.path_ambiguous: 403,
    Reason.route_unknown: 403,
    Reason.permission_missing: 403,
}
