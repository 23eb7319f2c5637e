"""The form a company's allowlist is edited with: rows, or past a hundred networks lines of text.

What was typed is kept as typed; everything that can be typed wrong is checked here row by row, so
that the message stands beside it. What else must hold, the registry decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from gatepass.core.errors import InvalidInput
from gatepass.core.networks import InvalidNetwork, parse_network
from gatepass.registry.allowlist import Entry
from gatepass.web.pages.forms import Fields
from gatepass.web.pages.network_rows import joined, row_of, sent_rows
from gatepass.web.pages.phrases import counted

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
        errors: a sentence by place: ``networks.2`` for a row, "" for the form as a whole.
    """

    networks: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    as_text: bool = False
    text: str = ""
    etag: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """What a browser sent."""
        networks = sent_rows(fields)
        notes = [note.strip() for note in fields.all("network_note")]
        return cls(
            networks=networks,
            notes=[*notes, *[""] * len(networks)][: len(networks)],
            as_text=fields.one("as") == "text",
            text=fields.one("text"),
            etag=fields.one("etag"),
        )

    @classmethod
    def of(cls, entries: Sequence[Entry], etag: str) -> Self:
        """A form that says what the list is; a blank row where there is none."""
        form = cls(etag=etag, as_text=len(entries) > MOST_ROWS)
        if form.as_text:
            form.text = "\n".join(f"{entry.network} {entry.note}".strip() for entry in entries)
        else:
            form.networks = [row_of(entry.network) for entry in entries] or [("", "")]
            form.notes = [entry.note for entry in entries] or [""]
        return form

    def press(self, button: str, address: str | None) -> None:
        """Do what a button other than Save says: ``add_network``, ``remove_network_2``, ``as_text``
        and their like.

        Args:
            address: the visitor's own, for ``add_my_network``.
        """
        action, _, index = button.rpartition("_")
        if button == "as_text" and not self.as_text:
            self.as_text, self.text = True, self._as_lines()
        elif button == "as_rows" and self.as_text:
            self._to_rows()
        elif button == "add_network":
            self._add("")
        elif button == "add_my_network" and address is not None:
            self._add(address)
        elif action == "remove_network" and index.isdecimal():
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
            said.append(
                f"{counted(len(wrong) - _MOST_PROBLEMS, 'more line')} can't be read either."
            )
        return said

    def unread(self) -> str:
        """How much can't be read yet, as a sentence."""
        wrong = sum(1 for name in self.errors if name)
        what = "line" if self.as_text else "address"
        if wrong == 1:
            return f"One {what} can't be read yet."
        return f"{wrong} {what}{'s' if self.as_text else 'es'} can't be read yet."

    def _rows(self) -> list[tuple[str, str, str]]:
        """Address, bits and note of each row or line."""
        if not self.as_text:
            return [(*row, note) for row, note in zip(self.networks, self.notes, strict=True)]
        rows = []
        for line in self.text.splitlines():
            network, *note = line.split(maxsplit=1) or [""]
            rows.append((network, "", "".join(note).strip()))
        return rows

    def _read(self) -> tuple[list[Entry], list[int]]:
        """The entries, and which row each of them is."""
        self.errors = {}
        found, places = [], []
        for at, (address, bits, note) in enumerate(self._rows()):
            if not address and not bits and not note:
                continue
            try:
                network = str(parse_network(joined(address, bits)))
            except InvalidNetwork as error:
                self.errors[f"networks.{at}"] = str(error)
                continue
            found.append(Entry(network, note))
            places.append(at)
        return found, places

    def _add(self, address: str) -> None:
        if self.as_text:
            self.text = f"{self.text.rstrip()}\n{address}".lstrip()
        else:
            self.networks.append((address, ""))
            self.notes.append("")

    def _as_lines(self) -> str:
        lines = (
            f"{address}{'/' if bits else ''}{bits} {note}".strip()
            for address, bits, note in self._rows()
        )
        return "\n".join(line for line in lines if line)

    def _to_rows(self) -> None:
        rows = [row for row in self._rows() if any(row)]
        if len(rows) > MOST_ROWS:
            self.errors[""] = f"Rows show up to {MOST_ROWS} networks; this list has {len(rows):,}."
            return
        self.as_text = False
        self.networks = [row_of(network) for network, _, _ in rows] or [("", "")]
        self.notes = [note for _, _, note in rows] or [""]
