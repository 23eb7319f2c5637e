"""The form a company's allowlist is edited with: rows, or past a hundred networks lines of text.

What was typed is kept as typed; everything that can be typed wrong is checked here row by row, so
that the message stands beside it. What else must hold, the registry decides.
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
from gatepass.web.pages.widgets.typed_networks import is_plain, line_of, read_line, read_network

#: Rows with their pictures are for people to look at; more than these nobody does.
MOST_ROWS = 100
_MOST_PROBLEMS = 10


@dataclass
class AllowlistForm:
    """The form's state, between one page and the next.

    Attributes:
        networks, notes: of each row, blank rows included.
        as_text: it is written in lines instead, ``203.0.113.0/24 Office`` each.
        text: those lines.
        etag: the version of the list that is being edited.
        sent: the rows as a browser sent them; None for a form that none has sent.
        errors: a sentence by place: ``networks.2`` for a row, "" for the form as a whole.
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
        """What a browser sent."""
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
        """A form that says what the list is; a blank row where there is none."""
        form = cls(etag=etag, as_text=len(entries) > MOST_ROWS)
        if form.as_text:
            form.text = "\n".join(line_of(entry.network, entry.note) for entry in entries)
        else:
            form.networks = [row_of(entry.network) for entry in entries] or [("", "")]
            form.notes = [entry.note for entry in entries] or [""]
        return form

    def press(self, button: str, own: str | None) -> None:
        """Do what a button other than Save says: ``add_network``, ``remove_network_2``, ``as_text``
        and their like.

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

    def entries(self) -> list[Entry]:
        """What it says; ``errors`` has what can't be read, beside its row.

        Raises:
            InvalidInput: something can't be.
        """
        found, _ = self._read()
        if self.errors:
            raise InvalidInput(list(self.errors.items()))
        return found

    def accept_errors(self, errors: Sequence[tuple[str, str]]) -> None:
        """Show what the registry found wrong, ``entries.3.note`` and the like, beside the rows it
        came from. What this form itself can't read is beside its row already."""
        _, places = self._read()
        for name, message in errors:
            root, *rest = name.split(".")
            if root == "entries" and rest:
                self.errors.setdefault(f"networks.{places[int(rest[0])]}", message)
            elif root != "networks":
                self.errors.setdefault("", message)

    def error(self, name: str) -> str | None:
        """What is wrong with a row, or with the form as a whole; or None."""
        return self.errors.get(name)

    @property
    def line_problems(self) -> list[str]:
        """What is wrong with the lines of the text, the first few."""
        wrong = sorted(
            (int(name.partition(".")[2]), message) for name, message in self.errors.items() if name
        )
        said = [f"Line {at + 1}: {message}" for at, message in wrong[:_MOST_PROBLEMS]]
        if len(wrong) > _MOST_PROBLEMS:
            said.append(f"{counted(len(wrong) - _MOST_PROBLEMS, 'more line')} with errors.")
        return said

    def unread(self) -> str:
        """How much can't be read yet, as a sentence."""
        wrong = sum(1 for name in self.errors if name)
        what = "line" if self.as_text else "address"
        if wrong == 1:
            return f"1 {what} isn't valid yet."
        return f"{wrong} {what}{'s' if self.as_text else 'es'} aren't valid yet."

    @property
    def _regrouped(self) -> bool:
        # The button's number is that of a row which may be another one now.
        return self.sent is not None and self.sent.regrouped

    def _typed(self) -> list[Callable[[], tuple[Network, str]] | None]:
        """What reads each row or line; None for blank ones."""
        if self.as_text:
            lines = line_breaks.split(self.text)
            return [partial(read_line, line) if line.strip() else None for line in lines]
        rows = zip(self.networks, self.notes, strict=True)
        return [partial(_read_row, *row, note) if any(row) or note else None for row, note in rows]

    def _read(self) -> tuple[list[Entry], list[int]]:
        """The entries, and which row each of them is."""
        self.errors = {"": SPLIT} if self.sent is not None and self.sent.split else {}
        found, places = [], []
        for at, read in enumerate(self._typed()):
            if read is None:
                continue
            try:
                network, note = read()
            except InvalidNetwork as error:
                self.errors[f"networks.{at}"] = str(error)
                continue
            found.append(Entry(str(network), note))
            places.append(at)
        return found, places

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
    """A row that says what *line* does; the whole line as its address, where that can't be read."""
    try:
        network, note = read_line(line)
    except InvalidNetwork:
        return Row(line, "", "")
    typed = line.split()[0]
    return Row(*row_of(typed if is_plain(typed, network) else str(network)), note)
