"""Allowlist entries: parsing, storage, versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, insert, select

from gatepass.core.networks import InvalidNetwork, Networks, parse_network
from gatepass.registry.input.text import LONGEST_LABEL, Problems, bidi_problem, storable
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import allowlist_entries, allowlist_trial_entries, companies

MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One network, such as ``203.0.113.0/24``, and the company's note about it."""

    network: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Allowlist:
    """A company's allowlist at one moment.

    Attributes:
        entries: the list in force, in the order given; empty is no restriction.
        trial_until: when the trial ends (Unix ms); None without a trial.
        settled: the list that applies after the trial; without one the same as *entries*.
    """

    entries: tuple[Entry, ...]
    trial_until: int | None
    settled: tuple[Entry, ...]

    @property
    def falls_back_to(self) -> tuple[Entry, ...] | None:
        """The list that applies after the trial; None without a trial."""
        return None if self.trial_until is None else self.settled

    def readable(self) -> dict[str, Any]:
        """The list as audit events store it."""
        entries = [{"network": entry.network, "note": entry.note} for entry in self.entries]
        if self.trial_until is None:
            return {"entries": entries}
        return {"entries": entries, "trial_until": self.trial_until}


def etag(allowlist: Allowlist) -> str:
    """The version of the list in force and of the one that applies after a trial."""
    return etag_of(
        [[entry.network, entry.note] for entry in allowlist.entries],
        allowlist.trial_until,
        [[entry.network, entry.note] for entry in allowlist.settled],
    )


def read(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], Networks]:
    """Parse entries: networks in canonical form, duplicates removed.

    Raises:
        InvalidInput: for ``entries``, ``entries.3.network`` and so on.
    """
    problems = Problems()
    if len(entries) > MOST_ENTRIES:
        problems.add("entries", f"Must have at most {MOST_ENTRIES:,} networks.")
        problems.settle()
    found: dict[str, Entry] = {}
    networks = []
    for number, entry in enumerate(entries):
        try:
            network = parse_network(entry.network)
        except InvalidNetwork as error:
            problems.add(f"entries.{number}.network", str(error))
            continue
        if len(entry.note) > LONGEST_LABEL or not storable(entry.note):
            problems.add(
                f"entries.{number}.note",
                f"Must have at most {LONGEST_LABEL} characters, "
                "without control characters and line separators.",
            )
        elif (problem := bidi_problem(entry.note)) is not None:
            problems.add(f"entries.{number}.note", problem)
        networks.append(network)
        found.setdefault(str(network), Entry(str(network), entry.note))
    problems.settle()
    return tuple(found.values()), Networks.of(networks)


def load(reading: Reading, company: str) -> Allowlist:
    """A company's allowlist at ``reading.now``. A trial that has ended is ignored."""
    settled = _rows(reading, allowlist_entries, company)
    until: int | None = reading.session.execute(
        select(companies.c.allowlist_trial_until).where(companies.c.id == company)
    ).scalar_one()
    if until is None or reading.now >= until:
        return Allowlist(settled, None, settled)
    return Allowlist(_rows(reading, allowlist_trial_entries, company), until, settled)


def settle(write: Write, company: str, entries: Sequence[Entry]) -> None:
    """Store *entries* as the settled list, and end any trial."""
    _replace(write, allowlist_entries, company, entries)
    start_trial(write, company, (), None)


def start_trial(write: Write, company: str, entries: Sequence[Entry], until: int | None) -> None:
    """Store *entries* as the list on trial until *until* (Unix ms); None is no trial."""
    _replace(write, allowlist_trial_entries, company, entries)
    update_row(write, companies, company, allowlist_trial_until=until)


def _rows(reading: Reading, table: Table, company: str) -> tuple[Entry, ...]:
    rows = reading.session.execute(
        select(table.c.network, table.c.note)
        .where(table.c.company_id == company)
        .order_by(table.c.position)
    )
    return tuple(Entry(row.network, row.note) for row in rows)


def _replace(write: Write, table: Table, company: str, entries: Sequence[Entry]) -> None:
    write.session.execute(delete(table).where(table.c.company_id == company))
    if entries:
        write.session.execute(
            insert(table),
            [
                {
                    "company_id": company,
                    "position": position,
                    "network": entry.network,
                    "note": entry.note,
                }
                for position, entry in enumerate(entries)
            ],
        )
