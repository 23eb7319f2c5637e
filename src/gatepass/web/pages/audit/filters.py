"""The audit log's filters: as written in the address, and as the registry takes them."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Query

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit import log, search, search_terms
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.audit.search_terms import Named
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.text.local_times import instant, written
from gatepass.web.times import format_time

PATH = "/audit-log"


@dataclass(frozen=True)
class Asked:
    """The filters as written in the address. An unknown kind means any."""

    person: str
    kind: str
    token: str
    subject: str
    since: str
    since_offset: str
    until: str
    until_offset: str

    def address(self, cursor: str = "", *, path: str = PATH, **more: str) -> str:
        """The address of the page at *cursor*, or of the first page."""
        query = {
            "person": self.person,
            "kind": self.kind,
            "token": self.token,
            "subject": self.subject,
            "from": self.since,
            "from_offset": self.since_offset if self.since else "",
            "until": self.until,
            "until_offset": self.until_offset if self.until else "",
            "cursor": cursor,
            **more,
        }
        return address_of_page(path, query)

    @property
    def narrowed(self) -> bool:
        """Whether any filter is set."""
        return bool(self.subject) or self.number > 0

    @property
    def number(self) -> int:
        """How many of the form's filters are set."""
        filters = (self.person, self.kind, self.token, self.since, self.until)
        return sum(map(bool, filters))

    @property
    def without_secret(self) -> "Asked":
        """The same with a full token text cut to its id: addresses must not contain secrets."""
        return replace(self, token=search_terms.token_id(self.token) or self.token)


@dataclass
class Narrowed:
    """The resolved filters.

    Attributes:
        filters: for the registry.
        people, tokens: the matches; None without that filter.
        subject: the record's name in the log.
        times: ``since`` and ``until``: in UTC for the fields, and as instants for the script.
        errors: a message per invalid field; then no events are shown.
    """

    filters: search.Filters
    people: list[Named] | None = None
    tokens: list[Named] | None = None
    subject: str = ""
    times: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {"since": ("", ""), "until": ("", "")}
    )
    errors: dict[str, str] = field(default_factory=dict)


def asked(
    person: str = "",
    kind: str = "",
    token: str = "",
    subject: str = "",
    since: Annotated[str, Query(alias="from")] = "",
    since_offset: Annotated[str, Query(alias="from_offset")] = "",
    until: str = "",
    until_offset: str = "",
) -> Asked:
    """The filters of the address."""
    return Asked(
        person=person.strip(),
        kind=kind if kind in KINDS else "",
        token=token.strip(),
        subject=subject.strip(),
        since=since.strip(),
        since_offset=since_offset,
        until=until.strip(),
        until_offset=until_offset,
    )


def narrow(reading: Reading, actor: Actor, asked: Asked) -> Narrowed:
    """Resolve the filters to users, tokens and times.

    Raises:
        Forbidden: without ``audit:get``.
    """
    found = Narrowed({"kind": asked.kind or None, "subject": asked.subject or None})
    try:
        if asked.person:
            found.people = search_terms.people_called(reading, actor, asked.person)
            found.filters["people"] = [each.id for each in found.people]
        if asked.token:
            found.tokens = search_terms.tokens_called(reading, actor, asked.token)
            found.filters["tokens"] = [each.id for each in found.tokens]
    except InvalidInput as error:
        found.errors.update(error.errors)
    if asked.subject:
        last = log.last_change(reading, actor.company, asked.subject)
        found.subject = asked.subject if last is None else last.subject.name
    for name, typed, offset in (
        ("since", asked.since, asked.since_offset),
        ("until", asked.until, asked.until_offset),
    ):
        if typed:
            _read_time(found, name, typed, offset)
    return found


def _read_time(found: Narrowed, name: str, typed: str, offset: str) -> None:
    try:
        at = instant(typed, offset)
        found.times[name] = (written(at), format_time(at))
    except (ValueError, OverflowError) as error:
        found.times[name] = (typed, "")
        found.errors[name] = str(error)
        return
    if name == "since":
        found.filters["since"] = at
    else:
        found.filters["until"] = at
