"""Strict parsing of the query string of ``GET /v1/feed``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gatepass.core.errors import InvalidInput
from gatepass.core.permissions import is_permission, is_wildcard
from gatepass.registry.storage.revisions import Position
from gatepass.web.feed.limits import MOST_NAMED, Limits

_MOST_PARAMETERS = 5 + 2 * MOST_NAMED
_REQUIRED = ("node", "name", "version")

_node = re.compile(r"node_[0-9A-Za-z]{16}").fullmatch
_name = re.compile(r"[!-~]{1,253}").fullmatch
_version = re.compile(r"[0-9A-Za-z.+!-]{1,64}").fullmatch
_revision = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch
_tag = re.compile(r"[0-9a-f]{16}").fullmatch
_company = re.compile(r"[0-9A-Za-z_-]{1,64}").fullmatch

_ONCE: dict[str, tuple[Callable[[str], object], str]] = {
    "node": (_node, "Must be node_ and 16 letters or digits."),
    "name": (_name, "Must be 1 to 253 visible ASCII characters."),
    "version": (_version, "Must be a version, such as 1.2.0."),
    "revision": (_revision, "Must be a whole number."),
    "tag": (_tag, "Must be 16 hexadecimal digits."),
}
_MANY: dict[str, tuple[Callable[[str], object], str]] = {
    "company": (_company, "Must be a company's id."),
    "permission": (
        lambda name: is_permission(name) or is_wildcard(name),
        "Must be a permission, such as charges:create or charges:*.",
    ),
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """A follower's request for the feed.

    Attributes:
        node: the id that the follower claims (``verify.replica.identity``).
        name: its host name.
        version: its version of Gatepass.
        position: its copy's position; None if it has no copy.
        limits: its filter.
    """

    node: str
    name: str
    version: str
    position: Position | None
    limits: Limits


def read_subscription(query: bytes) -> Subscription:
    """Parse the query string.

    Unknown parameters are refused: the follower of a newer version that sends a limit unknown here
    would otherwise get every record.

    Raises:
        InvalidInput: with every parameter that isn't valid.
    """
    values = _parameters(query)
    errors: list[tuple[str, str]] = []
    for name, found in values.items():
        once, many = _ONCE.get(name), _MANY.get(name)
        valid, says = once or many or (None, "")
        if valid is None:
            errors.append((name[:100], "Must be left out: there is no such parameter."))
        elif once and len(found) > 1:
            errors.append((name, "Must be given only once."))
        elif len(found) > MOST_NAMED:
            errors.append((name, f"Must be given at most {MOST_NAMED} times."))
        elif not all(valid(value) for value in found):
            errors.append((name, says))
    errors += [(name, "Must be given.") for name in _REQUIRED if name not in values]
    if ("revision" in values) != ("tag" in values):
        errors.append(("tag", "Must be given together with revision."))
    if errors:
        raise InvalidInput(errors)
    position = (int(values["revision"][0]), values["tag"][0]) if "tag" in values else None
    limits = Limits(frozenset(values.get("company", ())), frozenset(values.get("permission", ())))
    return Subscription(
        values["node"][0], values["name"][0], values["version"][0], position, limits
    )


def _parameters(query: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise InvalidInput(
            [("query", f"Must be at most {_MOST_PARAMETERS} well-formed parameters.")]
        ) from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values
