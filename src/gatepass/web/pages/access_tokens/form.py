"""The form that creates and edits a token: its input, as typed, and the settings it denotes.

This module validates the input row by row, so that each message is shown beside its field. The
registry checks permissions and all other rules.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Self

from gatepass.core.domains import InvalidDomain, parse_domain
from gatepass.core.errors import InvalidInput
from gatepass.core.grants import DECOY, USER
from gatepass.core.networks import InvalidNetwork
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.input.days import days_problem
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.input.metadata import is_key, value_problem
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.tokens.input import CHANGEABLE, MOST_UNUSED_DAYS
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.text.forms import Fields, whole_number
from gatepass.web.pages.text.local_times import written
from gatepass.web.pages.text.times import MINUTE
from gatepass.web.pages.widgets.expiry import (
    AT,
    NEVER,
    RECOMMENDED,
    longest,
    preset_of,
    read_expiry,
)
from gatepass.web.pages.widgets.network_lines import (
    ONE_PER_LINE,
    lines_of,
    read_lines,
    rows_of,
    too_many,
)
from gatepass.web.pages.widgets.network_rows import SPLIT, SentRows, joined, row_of, sent_rows
from gatepass.web.pages.widgets.permission_groups import without_covered
from gatepass.web.pages.widgets.typed_networks import read_network

_COPY = " copy"

# ASCII only, and short: Python refuses to convert numbers of more than 4,300 digits.
_index = re.compile(r"[0-9]{1,4}", re.ASCII).fullmatch


@dataclass(frozen=True)
class Chosen:
    """The form's settings, as the registry takes them."""

    label: str
    kind: str
    permissions: tuple[str, ...]
    networks: tuple[str, ...]
    domains: tuple[str, ...]
    expires_at: int | None
    metadata: Mapping[str, str]
    external_id: str | None
    unused_days: int | None


@dataclass(frozen=True)
class Summary:
    """The parts of the summary sentence, or the input that is ``missing`` for it.

    Attributes:
        decoy: whether it is one, which has no parts.
    """

    missing: str
    permissions: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    expires_at: int | None = None
    unused_days: int | None = None
    decoy: bool = False


@dataclass
class TokenForm:
    """The input of the form.

    Attributes:
        networks: address and number of bits of each row, blank rows included.
        as_text: whether the networks are edited as lines of ``text`` instead.
        line_problems: the messages for its invalid lines.
        expire, expires_on, offset: see ``expiry.read_expiry``.
        metadata: key and value of each row, blank rows included.
        external_id: "" is none.
        unused_days: "" is none, or what the company's policy says.
        owner: the id of a service account or external owner; "" is the visitor.
        form_id: one-time; a form submitted twice creates one token.
        etag: the version of the token that is being edited.
        replaces: the token whose settings the form starts with.
        by_link: whether a link filled it.
        sent: the submitted rows of networks; None if the form wasn't submitted.
        errors: a message by field (``label``, ``networks.2``; "" for the form as a whole).
    """

    label: str = ""
    kind: str = "api"
    permissions: list[str] = field(default_factory=list)
    expire: str = NEVER
    expires_on: str = ""
    offset: str = ""
    networks: list[tuple[str, str]] = field(default_factory=list)
    as_text: bool = False
    text: str = ""
    line_problems: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    metadata: list[tuple[str, str]] = field(default_factory=list)
    external_id: str = ""
    unused_days: str = ""
    owner: str = ""
    form_id: str = ""
    etag: str = ""
    replaces: AccessToken | None = None
    by_link: bool = False
    sent: SentRows | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        sent = sent_rows(fields)
        return cls(
            label=fields.one("label").strip(),
            kind=fields.one("kind") or "api",
            permissions=without_covered(fields.all("permissions")),
            expire=fields.one("expire") or NEVER,
            expires_on=fields.one("expires_on").strip(),
            offset=fields.one("offset"),
            networks=[(row.address, row.bits) for row in sent.rows],
            as_text=fields.one("networks_as") == "text",
            text=fields.one("networks_text"),
            sent=sent,
            domains=[domain.strip() for domain in fields.all("domain")],
            metadata=list(
                zip_longest(
                    [key.strip() for key in fields.all("metadata_key")],
                    fields.all("metadata_value"),
                    fillvalue="",
                )
            ),
            external_id=fields.one("external_id").strip(),
            unused_days=fields.one("unused_days").strip(),
            owner=fields.one("owner"),
            form_id=fields.one("form_id"),
            etag=fields.one("etag"),
            by_link=fields.one("by_link") == "1",
        )

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """A form with the settings of *token*."""
        at = token.expires_at
        return cls(
            label=token.label,
            kind=token.kind,
            permissions=list(token.permissions),
            expire=NEVER if at is None else AT,
            expires_on="" if at is None else written(at),
            networks=[row_of(network) for network in token.networks],
            domains=list(token.domains),
            metadata=list(token.metadata.items()),
            external_id=token.external_id or "",
            unused_days="" if token.unused_days is None else str(token.unused_days),
        )

    @classmethod
    def replacing(cls, token: AccessToken, now: int) -> Self:
        """A form with the settings of *token* and the same lifetime, counted from *now*."""
        form = cls.of(token)
        form.replaces = token
        form.owner = "" if token.owner.type == USER else token.owner.id
        if token.status == "active":
            # It belongs to one active token.
            form.external_id = ""
        if token.expires_at is not None:
            length = token.expires_at - token.created_at
            form.expire = preset_of(length) or AT
            at = min(now + length, LATEST_EXPIRY)
            form.expires_on = written(at) if form.expire == AT else ""
        return form

    @classmethod
    def duplicating(cls, token: AccessToken, now: int) -> Self:
        """As ``replacing``, for another token beside *token*."""
        form = cls.replacing(token, now)
        form.replaces = None
        form.external_id = ""
        form.label = token.label[: LONGEST_LABEL - len(_COPY)] + _COPY
        return form

    def keep_within(self, policy: TokenPolicy) -> None:
        """Choose an expiry that *policy* allows, in place of none."""
        if policy.longest_life_days is not None and self.expire == NEVER:
            self.expire = longest(policy.longest_life_days)

    def press(self, button: str, own: str | None) -> None:
        """Apply a button that changes the input, such as ``add_domain`` or ``remove_network_2``.

        Args:
            own: the visitor's own network, for ``add_my_network``.
        """
        action, _, index = button.rpartition("_")
        if button == "networks_as_text" and not self.as_text:
            self.as_text, self.text = True, lines_of(self.networks)
        elif button == "networks_as_rows" and self.as_text:
            self._to_rows()
        elif button == "add_network":
            self.networks.append(("", ""))
        elif button == "add_my_network" and own is not None:
            self.networks.append(row_of(own))
            self.text = f"{self.text.rstrip()}\n{own}".lstrip()
        elif button == "add_domain":
            self.domains.append("")
        elif button == "add_metadata":
            self.metadata.append(("", ""))
        elif button == f"expire_{RECOMMENDED}":
            self.expire = RECOMMENDED
        elif action == "remove_network" and self.sent is not None and self.sent.regrouped:
            # The rows have moved, so the button's number may mean another row.
            return
        elif _index(index):
            rows: dict[str, list[tuple[str, str]] | list[str]] = {
                "remove_network": self.networks,
                "remove_domain": self.domains,
                "remove_metadata": self.metadata,
            }
            del rows.get(action, [])[int(index) : int(index) + 1]

    def chosen(self, now: int) -> Chosen:
        """The settings that the form denotes.

        Raises:
            InvalidInput: a field is invalid; ``errors`` has the messages.
        """
        chosen = self._read(now)
        if self.errors:
            raise InvalidInput(list(self.errors.items()))
        return chosen

    def check(self, now: int, fields: Collection[str]) -> None:
        """Find the errors of *fields* alone, in a form that isn't submitted yet."""
        self._read(now)
        errors = self.errors.items()
        self.errors = {name: why for name, why in errors if name.partition(".")[0] in fields}

    def summary(self, now: int) -> Summary:
        """The summary of saving the form. An invalid row is reported, never left out."""
        if self.kind == DECOY:
            return Summary("", decoy=True)
        shown = self.errors
        chosen = self._read(now)
        errors, self.errors = self.errors, shown
        missing = _missing(errors)
        if missing:
            return Summary(missing)
        return Summary(
            "",
            chosen.permissions,
            chosen.networks,
            chosen.domains,
            chosen.expires_at,
            chosen.unused_days,
        )

    def accept_errors(self, errors: Sequence[tuple[str, str]]) -> None:
        """Put the registry's messages beside the rows they are about."""
        typed = {
            "networks": []
            if self.as_text
            else [at for at, row in enumerate(self.networks) if any(row)],
            "domains": [at for at, row in enumerate(self.domains) if row],
        }
        shown = {"kind", *CHANGEABLE}
        for name, message in errors:
            root, _, index = name.partition(".")
            rows = typed.get(root, [])
            if index.isdecimal() and int(index) < len(rows):
                self.errors.setdefault(f"{root}.{rows[int(index)]}", message)
            else:
                self.errors.setdefault(root if root in shown else "", message)

    def error(self, name: str) -> str | None:
        """The message for a field, or None."""
        return self.errors.get(name)

    def _read(self, now: int) -> Chosen:
        if self.kind == DECOY:
            return self._decoy()
        self.errors = {"": SPLIT} if self.sent is not None and self.sent.split else {}
        networks = self._networks()
        # For API hides the domains: they are kept in case the user switches back, but not used.
        domains = self._domains() if self.kind == "ui" else ()
        expires_at = None
        try:
            expires_at = read_expiry(self.expire, self.expires_on, self.offset, now)
        except ValueError as error:
            self.errors["expires_at"] = str(error)
        if not self.label:
            self.errors["label"] = "Must be given."
        if not self.permissions:
            self.errors["permissions"] = "Must have at least one."
        return Chosen(
            self.label,
            self.kind,
            tuple(self.permissions),
            networks,
            domains,
            expires_at,
            self._metadata(),
            self.external_id or None,
            self._unused_days(),
        )

    def _decoy(self) -> Chosen:
        """A decoy, without the fields that the page hides then."""
        self.errors = {} if self.label else {"label": "Must be given."}
        self.owner = ""
        return Chosen(self.label, self.kind, (), (), (), None, {}, None, None)

    def _unused_days(self) -> int | None:
        days = whole_number(self.unused_days)
        if days is not None and not 1 <= days <= MOST_UNUSED_DAYS:
            self.errors["unused_days"] = days_problem(MOST_UNUSED_DAYS)
        return days

    def _networks(self) -> tuple[str, ...]:
        if self.as_text:
            return self._lines()
        networks = []
        for at, (address, bits) in enumerate(self.networks):
            if not address and not bits:
                continue
            try:
                networks.append(str(read_network(joined(address, bits))))
            except InvalidNetwork as error:
                self.errors[f"networks.{at}"] = str(error)
        return tuple(dict.fromkeys(networks))

    def _lines(self) -> tuple[str, ...]:
        problem = too_many(self.text)
        networks, self.line_problems = ([], []) if problem else read_lines(self.text)
        if problem or self.line_problems:
            self.errors["networks"] = problem or ONE_PER_LINE
        return tuple(dict.fromkeys(networks))

    def _to_rows(self) -> None:
        problem = too_many(self.text)
        if problem:
            self.errors["networks"] = problem
        else:
            self.as_text, self.networks = False, rows_of(self.text)

    def _domains(self) -> tuple[str, ...]:
        domains = []
        for at, domain in enumerate(self.domains):
            if not domain:
                continue
            try:
                domains.append(parse_domain(domain))
            except InvalidDomain as error:
                self.errors[f"domains.{at}"] = str(error)
        return tuple(dict.fromkeys(domains))

    def _metadata(self) -> dict[str, str]:
        metadata: dict[str, str] = {}
        for at, (key, value) in enumerate(self.metadata):
            if not key and not value:
                continue
            if not is_key(key):
                problem: str | None = "Must have a key of 1 to 40 of a-z, 0-9, _, . and -."
            elif key in metadata:
                problem = "Must have another key than the rows above."
            else:
                problem = value_problem(value)
            if problem is not None:
                self.errors[f"metadata.{at}"] = problem
            metadata[key] = value
        return metadata


def changes(token: AccessToken, chosen: Chosen) -> dict[str, object]:
    """The fields of *token* that *chosen* changes.

    The page shows an expiry to the minute and trims the label and the external id, so unchanged
    input keeps the stored milliseconds and spaces. The order of lists has no meaning.
    """
    changed: dict[str, object] = {}
    if chosen.label != token.label.strip():
        changed["label"] = chosen.label
    for name in ("permissions", "networks", "domains"):
        entries = getattr(chosen, name)
        if set(entries) != set(getattr(token, name)):
            changed[name] = list(entries)
    if _minute(chosen.expires_at) != _minute(token.expires_at):
        changed["expires_at"] = chosen.expires_at
    if chosen.metadata != token.metadata:
        changed["metadata"] = chosen.metadata
    if (chosen.external_id or "") != (token.external_id or "").strip():
        changed["external_id"] = chosen.external_id
    if chosen.unused_days != token.unused_days:
        changed["unused_days"] = chosen.unused_days
    return changed


def _missing(errors: Mapping[str, str]) -> str:
    for root, singular, plural in (
        ("networks", "address", "addresses"),
        ("domains", "domain", "domains"),
    ):
        wrong = sum(name.startswith(root + ".") for name in errors)
        if wrong:
            return f"1 {singular} isn't valid." if wrong == 1 else f"{wrong} {plural} aren't valid."
    if "networks" in errors:
        return "Some lines aren't IP addresses."
    if "permissions" in errors:
        first = "Enter a label and choose" if "label" in errors else "Choose"
        return f"{first} at least one permission."
    return errors.get("expires_at") or errors.get("unused_days", "")


def _minute(at: int | None) -> int | None:
    return None if at is None else at // MINUTE
