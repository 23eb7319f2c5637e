"""The versions of the installation's catalogue: publishing one, and all that there were.

The newest counts, on every node and in every embedded verifier, from the commit on that also
publishes the roles which follow from it. Versions are never changed: to go back is to publish the
text of an earlier one again.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select

from gatepass.core.catalogue import Catalogue, CatalogueError, parse_catalogue
from gatepass.core.errors import InvalidInput, NotFound
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import publish_all_roles
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.published_catalogue import publish_catalogue
from gatepass.registry.input.text import Problems, label_problem
from gatepass.registry.storage.database import Change, Database, Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.rows import record_of, require_unchanged
from gatepass.registry.storage.tables import catalogue_versions

LONGEST_NOTE = 200
_LARGEST_NUMBER = 2**31 - 1
#: What became of the file of ``GATEPASS_CATALOGUE`` at a start: it counts already; it was
#: published; or it wasn't, as an earlier version, or because somebody else has published since.
FileOutcome = Literal["current", "published", "earlier", "superseded"]

_table = catalogue_versions.c


@dataclass(frozen=True, slots=True)
class CatalogueVersion:
    """One version. The text is that of a catalogue file.

    Attributes:
        number: from 1; 0 is the empty catalogue before the first.
        permissions, routes: how many it adds to the control plane's.
        from_file: whether it was the file of ``GATEPASS_CATALOGUE``.
        note: what it is for, or "".
        created_at: Unix ms; None for number 0, which nobody published.
    """

    number: int
    text: str
    permissions: int = 0
    routes: int = 0
    from_file: bool = False
    note: str = ""
    created_at: int | None = None
    created_by: Person | None = None


def etag(version: CatalogueVersion) -> str:
    """The version of the catalogue, for If-Match."""
    return etag_of(version.number, _digest(version.text))


def read(text: str) -> Catalogue:
    """The catalogue of a text.

    Raises:
        InvalidInput: for ``text``, with the line of each problem.
    """
    try:
        return parse_catalogue(_with_line_feeds(text))
    except CatalogueError as error:
        problems = [("text", f"Line {line}: {message}.") for line, message in error.problems]
        raise InvalidInput(problems) from None


def current(reading: Reading, actor: Actor) -> CatalogueVersion:
    """The version that counts.

    Raises:
        Forbidden: ``operator_required``.
    """
    actor.require_operator()
    return _current(reading)


def get(reading: Reading, actor: Actor, number: int) -> CatalogueVersion:
    """One version.

    Raises:
        Forbidden: ``operator_required``.
        NotFound: there is none of that number.
    """
    actor.require_operator()
    known = 0 < number <= _LARGEST_NUMBER
    found = _version(reading, number) if known else None
    if found is None:
        raise NotFound("There is no such version of the catalogue.")
    return found


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[CatalogueVersion]:
    """A page of all versions, newest first.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_operator()
    after, limit = read_cursor(cursor), read_limit(limit)
    rows = select(catalogue_versions).order_by(_table.number.desc()).limit(limit + 1)
    if after is not None:
        rows = rows.where(_table.number < min(after.number, _LARGEST_NUMBER))
    found = [_record(row) for row in reading.session.execute(rows)]
    page = found[:limit]
    more = str(Cursor(page[-1].number, str(page[-1].number))) if len(found) > limit else None
    return Page(page, more)


def publish(
    change: Change,
    actor: Actor,
    *,
    text: str,
    note: str = "",
    if_match: Collection[str] | None = None,
    from_file: bool = False,
) -> CatalogueVersion:
    """Make *text* the catalogue of the installation. The present text changes nothing.

    Args:
        if_match: the accepted versions of the present one (``etag``); None accepts any.
        from_file: whether it is the file of ``GATEPASS_CATALOGUE``, and so may be replaced by that
            file's later contents at a start.

    Raises:
        Forbidden: ``operator_required``, ``signed_in_user_required``, or ``admin_key``.
        InvalidInput: for ``text``, with the line of each problem; or ``note``.
        Conflict: ``changed_meanwhile``, with the ``current`` version.
    """
    actor = acting(change, actor, person=True, operator=True)
    catalogue = read(text)
    _require_note(note)
    before = _current(change)
    require_unchanged(before, etag(before), if_match, "the catalogue")
    text = _with_line_feeds(text)
    if text == before.text and before.from_file >= from_file:
        if before.number:
            # Damaged records are replaced by the same ones.
            publish_catalogue(change, catalogue)
        return before
    return _publish(change, actor, before, catalogue, text, note, from_file=from_file)


def follow_file(database: Database, text: str, now: int) -> FileOutcome:
    """Publish the file of ``GATEPASS_CATALOGUE`` at a start, if it is new.

    Nodes may have different files. So a text that was a version before is not published again: the
    nodes would undo each other's at each start. Nor is one published over a version of other
    origin, which somebody made on purpose.

    Args:
        text: without problems.
        now: Unix ms.

    Raises:
        Unavailable: the database can't be written.
    """
    text = _with_line_feeds(text)
    with database.read(now) as reading:
        outcome = _outcome(reading, text)
    if outcome != "published":
        return outcome
    with database.write(now) as change:
        # Another node may have published meanwhile.
        outcome = _outcome(change, text)
        if outcome == "published":
            before, catalogue = _current(change), parse_catalogue(text)
            _publish(change, Actor.system(), before, catalogue, text, "", from_file=True)
    return outcome


def _outcome(reading: Reading, text: str) -> FileOutcome:
    before = _current(reading)
    if before.text == text:
        return "current"
    digest = _digest(text)
    earlier = select(_table.number).where(_table.digest == digest).limit(1)
    if reading.session.scalar(earlier) is not None:
        return "earlier"
    return "published" if before.from_file or before.number == 0 else "superseded"


def _publish(
    change: Change,
    actor: Actor,
    before: CatalogueVersion,
    catalogue: Catalogue,
    text: str,
    note: str,
    *,
    from_file: bool,
) -> CatalogueVersion:
    entries = catalogue.contents.entries
    number = before.number + 1
    change.session.execute(
        insert(catalogue_versions),
        {
            "number": number,
            "text": text,
            "digest": _digest(text),
            "permissions": len(entries),
            "routes": sum(len(entry.routes) for entry in entries),
            "from_file": from_file,
            "note": note,
            "created_at": change.now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    publish_catalogue(change, catalogue)
    publish_all_roles(change, catalogue)
    made = _version(change, number)
    assert made is not None
    log.record(
        change,
        actor,
        "catalogue.published",
        Subject("catalogue", str(number), f"version {number}"),
        company=None,
        before={"number": before.number, "permissions": before.permissions},
        after={"number": number, "permissions": made.permissions, "note": note},
    )
    return made


def _current(reading: Reading) -> CatalogueVersion:
    newest = select(catalogue_versions).order_by(_table.number.desc()).limit(1)
    row = reading.session.execute(newest).one_or_none()
    return CatalogueVersion(0, "") if row is None else _record(row)


def _version(reading: Reading, number: int) -> CatalogueVersion | None:
    rows = select(catalogue_versions).where(_table.number == number)
    row = reading.session.execute(rows).one_or_none()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> CatalogueVersion:
    return record_of(CatalogueVersion, row, created_by=Person(row.created_by, row.created_by_name))


def _require_note(note: str) -> None:
    problems = Problems()
    problem = label_problem(note, longest=LONGEST_NOTE) if note else None
    if problem is not None:
        problems.add("note", problem)
    problems.settle()


def _with_line_feeds(text: str) -> str:
    """*text* with the line ends that files have. Forms send others."""
    return text.replace("\r\n", "\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
