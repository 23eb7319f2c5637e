"""The form that edits a company's allowlist: rows, or lines of text above a hundred networks.

The form keeps its input as typed. This module validates it row by row, so that each message is
shown beside its row. The registry checks all other rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from gatepass.core.errors import InvalidInput
from gatepass.core.networks import InvalidNetwork, Network
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.web.pages.text.forms import Fields
from gatepass.web.pages.text.wording import counted
from gatepass.web.pages.widgets.network_rows import (
    SPLIT,
    Row,
    SentRows,
    joined,
    line_breaks,
    row_of,
    sent_rows,
)
from gatepass.web.pages.widgets.typed_networks import (
    is_network,
    is_plain,
    line_of,
    read_line,
    read_network,
)

#: Longer lists are edited as text: no one reads that many rows with diagrams.
MOST_ROWS = 100
_MOST_PROBLEMS = 10


@dataclass
class AllowlistForm:
    """The input of the form.

    Attributes:
        networks, notes: of each row, blank rows included.
        as_text: whether the list is edited as lines, such as ``203.0.113.0/24 Office``.
        text: those lines.
        etag: the version of the list that is being edited.
        sent: the submitted rows; None if the form wasn't submitted.
        errors: a message by row (``networks.2``); "" for the form as a whole.
    """

    networks: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    as_text: bool = False
    text: str = ""
    etag: str = ""
    sent: SentRows | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        sent = sent_rows(fields, noted=True)
        return cls(
            networks=[(row.address, row.bits) for row in sent.rows],
            notes=[row.note for row in sent.rows],
            sent=sent,
            as_text=fields.one("as") == "text",
            text=fields.one("text"),
            etag=fields.one("etag"),
        )

    @classmethod
    def of(cls, entries: Sequence[Entry], etag: str) -> Self:
        """A form with the current list; one blank row if it is empty."""
        form = cls(etag=etag, as_text=len(entries) > MOST_ROWS)
        if form.as_text:
            form.text = "\n".join(line_of(entry.network, entry.note) for entry in entries)
        else:
            form.networks = [row_of(entry.network) for entry in entries] or [("", "")]
            form.notes = [entry.note for entry in entries] or [""]
        return form

    def press(self, button: str, own: str | None) -> None:
        """Apply a button other than Save, such as ``add_network``, ``remove_network_2`` or
        ``as_text``.

        Args:
            own: the visitor's own network, for ``add_my_network``.
        """
        action, _, index = button.rpartition("_")
        if button == "as_text" and not self.as_text:
            self.as_text, self.text = True, self._as_lines()
        elif button == "as_rows" and self.as_text:
            self._to_rows()
        elif button == "add_network":
            self._add("")
        elif button == "add_my_network" and own is not None:
            self._add(own)
        elif action == "remove_network" and index.isdecimal() and not self._regrouped:
            at = int(index)
            del self.networks[at : at + 1], self.notes[at : at + 1]

    def suggest(self, network: str) -> bool:
        """Add *network* to the list; whether it is one."""
        if not is_network(network):
            return False
        if self.networks == [("", "")]:
            self.networks, self.notes = [], []
        self._add(network)
        return True

    def entries(self) -> list[Entry]:
        """The entries that the form denotes.

        Raises:
            InvalidInput: a row is invalid; ``errors`` has the messages.
        """
        found, _ = self._read()
        if self.errors:
            raise InvalidInput(list(self.errors.items()))
        return found

    def accept_errors(self, errors: Sequence[tuple[str, str]]) -> None:
        """Put the registry's messages, such as for ``entries.3.note``, beside the rows they are
        about. The messages for invalid networks are there already."""
        _, indexes = self._read()
        for name, message in errors:
            root, *rest = name.split(".")
            if root == "entries" and rest:
                self.errors.setdefault(f"networks.{indexes[int(rest[0])]}", message)
            elif root != "networks":
                self.errors.setdefault("", message)

    def error(self, name: str) -> str | None:
        """The message for a row or for the form as a whole, or None."""
        return self.errors.get(name)

    @property
    def line_problems(self) -> list[str]:
        """The messages for the first invalid lines of the text."""
        wrong = sorted(
            (int(name.partition(".")[2]), message) for name, message in self.errors.items() if name
        )
        said = [f"Line {at + 1}: {message}" for at, message in wrong[:_MOST_PROBLEMS]]
        if len(wrong) > _MOST_PROBLEMS:
            said.append(f"{counted(len(wrong) - _MOST_PROBLEMS, 'more line')} with errors.")
        return said

    def unread(self) -> str:
        """The number of invalid rows or lines, as a sentence."""
        wrong = sum(1 for name in self.errors if name)
        what = "line" if self.as_text else "address"
        if wrong == 1:
            return f"1 {what} isn't valid."
        return f"{wrong} {what}{'s' if self.as_text else 'es'} aren't valid."

    @property
    def _regrouped(self) -> bool:
        # The rows have moved, so the button's number may mean another row.
        return self.sent is not None and self.sent.regrouped

    def _typed(self) -> list[Callable[[], tuple[Network, str]] | None]:
        """The parser of each row or line; None for blank ones."""
        if self.as_text:
            lines = line_breaks.split(self.text)
            return [partial(read_line, line) if line.strip() else None for line in lines]
        rows = zip(self.networks, self.notes, strict=True)
        return [partial(_read_row, *row, note) if any(row) or note else None for row, note in rows]

    def _read(self) -> tuple[list[Entry], list[int]]:
        """The valid entries, and the index of each one's row."""
        self.errors = {"": SPLIT} if self.sent is not None and self.sent.split else {}
        found, indexes = [], []
        for at, read in enumerate(self._typed()):
            if read is None:
                continue
            try:
                network, note = read()
            except InvalidNetwork as error:
                self.errors[f"networks.{at}"] = str(error)
                continue
            found.append(Entry(str(network), note))
            indexes.append(at)
        return found, indexes

    def _add(self, network: str) -> None:
        if self.as_text:
            self.text = f"{self.text.rstrip()}\n{network}".lstrip()
        else:
            self.networks.append(row_of(network))
            self.notes.append("")

    def _as_lines(self) -> str:
        rows = zip(self.networks, self.notes, strict=True)
        lines = (line_of("/".join(filter(None, row)), note) for row, note in rows)
        return "\n".join(line for line in lines if line)

    def _to_rows(self) -> None:
        lines = [line.strip() for line in line_breaks.split(self.text) if line.strip()]
        if len(lines) > MOST_ROWS:
            self.errors[""] = (
                f"Must be at most {MOST_ROWS} networks to edit as rows, not {len(lines):,}."
            )
            return
        self.as_text = False
        rows = [_row_of_line(line) for line in lines] or [Row("", "", "")]
        self.networks = [(row.address, row.bits) for row in rows]
        self.notes = [row.note for row in rows]


def _read_row(address: str, bits: str, note: str) -> tuple[Network, str]:
    return read_network(joined(address, bits)), note


def _row_of_line(line: str) -> Row:
    """*line* as a row; if it is invalid, all of it becomes the row's address."""
    try:
        network, note = read_line(line)
    except InvalidNetwork:
        return Row(line, "", "")
    typed = line.split()[0]
    return Row(*row_of(typed if is_plain(typed, network) else str(network)), note)
