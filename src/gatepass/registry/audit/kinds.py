"""Kinds of audit events: groups of actions, for filters."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A group of actions, and its title on pages."""

    title: str
    actions: tuple[str, ...]


def _actions(noun: str, *verbs: str) -> tuple[str, ...]:
    return tuple(f"{noun}.{verb}" for verb in verbs)


KINDS = {
    "access-tokens": Kind(
        "Access tokens",
        (
            *_actions(
                "access_token",
                "created",
                "imported",
                "modified",
                "rotated",
                "handed_over",
                "deactivated",
                "refused_everywhere",
            ),
            *_actions("access_token", "rehearsal_started", "rehearsal_ended", "decoy_used"),
            *_actions("access_token", "pending", "approved"),
            *_actions("access_token", "exception_added", "exception_ended"),
            *_actions("access_token", "reuse_detected", "used_late"),
            *_actions("access_token", "expiring", "expired"),
            "access_tokens.refused_everywhere",
        ),
    ),
    "access-requests": Kind(
        "Access requests",
        _actions("access_request", "created", "approved", "denied", "refused_everywhere"),
    ),
    "authentications": Kind(
        "Sign-ins",
        _actions(
            "authentication", "created", "ended", "deactivated", "refused", "refused_everywhere"
        ),
    ),
    "users": Kind(
        "Users",
        _actions(
            "user",
            *("created", "role_changed", "deactivated", "renamed", "refused_everywhere"),
            *("email_change_requested", "email_change_cancelled", "email_changed"),
            *("operator_named", "operator_removed"),
        ),
    ),
    "owners": Kind(
        "Service accounts and external owners",
        _actions("owner", "created", "modified", "deactivated", "refused_everywhere"),
    ),
    "portal-sessions": Kind(
        "Portal sessions", _actions("portal_session", "created", "redeemed", "deactivated")
    ),
    "invitations": Kind(
        "Invitations",
        _actions(
            "invitation",
            *("created", "resent", "link_taken", "delivered", "not_mailed"),
            *("accepted", "deactivated"),
        ),
    ),
    "passwords": Kind(
        "Passwords and two-factor",
        _actions(
            "user",
            *("password_changed", "password_reset_requested", "password_reset_link_taken"),
            "password_reset",
            *("second_factor_enabled", "second_factor_disabled"),
            *("recovery_code_used", "recovery_codes_replaced", "unlocked"),
            *("identity_linked", "identity_unlinked", "provider_logout"),
            "provider_revocation",
        ),
    ),
    "roles": Kind(
        "Roles",
        (
            *_actions("role", "created", "modified", "deleted"),
            "catalogue.changed",
            "catalogue.published",
        ),
    ),
    "allowlist": Kind("Allowlist", _actions("allowlist", "changed", "lifted", "trial_started")),
    "webhooks": Kind(
        "Webhooks",
        _actions("webhook", "created", "modified", "secret_rotated", "paused", "deleted"),
    ),
    "company": Kind(
        "Company",
        (
            *_actions("company", "created", "modified", "deactivated", "restored"),
            *("company.refused_everywhere", "token_policy.changed"),
        ),
    ),
}
