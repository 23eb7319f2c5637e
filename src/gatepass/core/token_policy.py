"""What a company requires of its access tokens, and which of it a token breaks."""

from collections.abc import Collection
from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """A company's policy; by default it requires nothing.

    Attributes:
        longest_life_days: from a token's creation to its expiry; None is no limit.
        networks_required: whether a token must have networks, or, with kind ``ui``, domains.
        unused_days: the most days without use after which a token ends, and those of a new token
            that names none; None is no limit.
        approval_required: the permissions for which a token needs the approval of a second person;
            wildcards are allowed.
        warn_days: how many days before a token's expiry its owner is warned, in descending order.
    """

    longest_life_days: int | None = None
    networks_required: bool = False
    unused_days: int | None = None
    approval_required: tuple[str, ...] = ()
    warn_days: tuple[int, ...] = (14, 7, 1)

    def latest_expiry(self, created_at: int) -> int | None:
        """The latest expiry of a token that is created at *created_at*, both Unix ms; None is no
        limit."""
        days = self.longest_life_days
        return None if days is None else created_at + days * DAY_MS


#: The policy of a company that has none.
NO_POLICY = TokenPolicy()


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits a token, as its columns have it; times are Unix ms."""

    kind: str
    networks: Collection[str]
    domains: Collection[str]
    created_at: int
    expires_at: int | None
    unused_days: int | None


#: By rule, the field of a token that must be another one.
FIELD_OF = {
    "longest_life_days": "expires_at",
    "networks_required": "networks",
    "unused_days": "unused_days",
}


def breaches(policy: TokenPolicy, token: Limits) -> dict[str, str]:
    """The rules that *token* breaks, and what the field of each must be."""
    found = {}
    latest = policy.latest_expiry(token.created_at)
    if latest is not None and (token.expires_at is None or token.expires_at > latest):
        days = policy.longest_life_days
        counted = "1 day" if days == 1 else f"{days:,} days"
        found["longest_life_days"] = f"Must be at most {counted} after the token's creation."
    sites = token.kind == "ui"
    if policy.networks_required and not (token.networks or (sites and token.domains)):
        otherwise = ", or the token one domain" if sites else ""
        found["networks_required"] = f"Must have at least one network{otherwise}."
    most = policy.unused_days
    if most is not None and (token.unused_days is None or token.unused_days > most):
        found["unused_days"] = f"Must be at most {most}."
    return found


def errors(
    policy: TokenPolicy, token: Limits, former: Limits | None = None
) -> list[tuple[str, str]]:
    """The errors of a new token by field; or of a changed one, in what was changed.

    Args:
        former: the token before the change. What it broke already, and the change leaves as it
            was, is no error.
    """
    return [
        (FIELD_OF[rule], message)
        for rule, message in breaches(policy, token).items()
        if former is None or _looked_at(rule, token) != _looked_at(rule, former)
    ]


def _looked_at(rule: str, token: Limits) -> object:
    """What a rule looks at; the order of lists has no meaning."""
    if rule == "networks_required":
        return set(token.networks), set(token.domains)
    return token.expires_at if rule == "longest_life_days" else token.unused_days
