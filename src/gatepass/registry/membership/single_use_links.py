"""Single-use links in mail: created when the mail is sent, followed once.

Invitations, password resets and e-mail changes are records with at most one link each; a new link
replaces the former one. Only the link's id and its secret's digest are stored, so that a reader of
the database can neither use a link nor forge one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, Table, and_, func, insert, select

from gatepass.core.credentials import make, matches, new_id, parse
from gatepass.core.errors import BrokenLink, Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.directory.users import by_email
from gatepass.registry.grants.publishing import admits, published_rules
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.database_time import AHEAD_MS
from gatepass.registry.storage.rows import mark_deactivated, update_row
from gatepass.registry.storage.tables import companies, users

HOUR_MS = 3_600_000

State = Literal["pending", "used", "expired", "deactivated"]
Holder = Literal["nobody", "same company", "other company"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkKind:
    """One kind of record with a link.

    Attributes:
        table: stores the records.
        rows: selects them, each with the ``company_id`` and ``company_name`` it belongs to.
        id_prefix: of the records' ids.
        token_prefix: of the links' tokens.
        mail: the kind of the mail that carries the link.
        broken, reason: the message and reason of the ``BrokenLink`` that an invalid link raises.
        used_at: the column with the time at which the link was used.
    """

    table: Table
    rows: Select[Any]
    id_prefix: str
    token_prefix: str
    mail: str
    broken: str
    reason: str
    used_at: str = "used_at"

    def create(self, write: Write, *, lifetime_ms: int, **values: Any) -> Row[Any]:
        """Insert a record that expires *lifetime_ms* from now. It has no link yet."""
        record_id = new_id(self.id_prefix)
        times = {"created_at": write.now, "expires_at": write.now + lifetime_ms}
        write.session.execute(insert(self.table), {"id": record_id, **times, **values})
        row = self.find(write, record_id)
        assert row is not None
        return row

    def enqueue(self, write: Write, row: Row[Any], *, in_person: bool = False) -> None:
        """Enqueue the mail with the link; *in_person* as ``outbox.enqueue`` says."""
        outbox.enqueue(
            write,
            kind=self.mail,
            subject=row.id,
            company=row.company_id,
            recipient=row.email,
            expires_at=row.expires_at,
            in_person=in_person,
        )

    def find(self, reading: Reading, record_id: str) -> Row[Any] | None:
        """The record with that id."""
        rows = self.rows.where(self.table.c.id == record_id)
        return reading.session.execute(rows).one_or_none()

    def new_link(self, write: Write, record_id: str) -> str:
        """Create a record's link, in place of its former one.

        Returns:
            The token, which belongs in the mail and nowhere else.
        """
        credential = make(self.token_prefix)
        update_row(
            write, self.table, record_id, link_id=credential.id, link_digest=credential.digest
        )
        return credential.text

    def follow(
        self,
        reading: Reading,
        token: str,
        address: str | None,
        refuse: Callable[[Reading, Row[Any]], BrokenLink | None],
    ) -> Row[Any]:
        """The record of a followed link. Doesn't use it up: mail scanners follow links, too.

        Args:
            address: the request's source address, as text.
            refuse: checks the record of a link whose secret is right.

        Raises:
            BrokenLink: there is no such link, or *refuse* returned this.
            Forbidden: ``company_address_not_allowed``; the link is valid.
        """
        credential = parse(token)
        row = None
        if credential is not None:
            rows = self.rows.where(self.table.c.link_id == credential.id)
            row = reading.session.execute(rows).one_or_none()
        if credential is None or row is None or not matches(credential, row.link_digest):
            raise self.broken_link()
        refusal = refuse(reading, row)
        if refusal is not None:
            raise refusal
        _require_admitted(reading, row.company_id, address)
        return row

    def broken_link(self, **details: Any) -> BrokenLink:
        """The error of an invalid link; *details* as ``BrokenLink`` says."""
        return BrokenLink(self.broken, reason=self.reason, **details)

    def use(self, write: Write, row: Row[Any], **values: Any) -> None:
        """Mark a record as used, with further *values*, and drop its mail."""
        outbox.drop(write, row.id)
        values[self.used_at] = write.now
        update_row(write, self.table, row.id, **values)

    def end(self, write: Write, actor: Actor, which: ColumnElement[bool]) -> None:
        """Deactivate the unused records that match *which*, and drop their mail."""
        wanted = which & self._open()
        for record_id in write.session.scalars(select(self.table.c.id).where(wanted)).all():
            outbox.drop(write, record_id)
        mark_deactivated(write, actor, self.table, wanted)

    def pending(self, reading: Reading) -> ColumnElement[bool]:
        """Matches the records that are neither used nor deactivated nor expired."""
        return self._open() & (self.table.c.expires_at > reading.now)

    def state(self, row: Row[Any], now: int) -> State:
        """The state of a record at *now* (Unix ms)."""
        if getattr(row, self.used_at) is not None:
            return "used"
        if row.deactivated_at is not None:
            return "deactivated"
        return "pending" if now < row.expires_at else "expired"

    def within_an_hour(self, reading: Reading, user_id: str) -> tuple[int, int | None]:
        """How many records a user got in the past hour, and when the first was created."""
        table = self.table.c
        number, first = reading.session.execute(
            select(func.count(), func.min(table.created_at)).where(
                table.user_id == user_id,
                table.created_at > reading.now - HOUR_MS,
                table.created_at <= reading.now + AHEAD_MS,
            )
        ).one()
        return number, first

    def _open(self) -> ColumnElement[bool]:
        table = self.table.c
        return and_(table[self.used_at].is_(None), table.deactivated_at.is_(None))


def follower(row: Row[Any], user_id: str, name: str, address: str | None) -> Actor:
    """The actor of a change that a followed link makes: the link is their credential."""
    return Actor("user", row.company_id, user_id, name, frozenset(), row.link_id, address)


def rows_of_users(table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """The rows of *table*, each with its user's name and company, and *columns* of the user."""
    return (
        select(
            table,
            users.c.company_id,
            users.c.name.label("user_name"),
            companies.c.name.label("company_name"),
            *columns,
        )
        .join(users, users.c.id == table.c.user_id)
        .join(companies, companies.c.id == users.c.company_id)
    )


def address_holder(reading: Reading, row: Row[Any], user_id: str = "") -> Holder:
    """Where an active user other than *user_id* has the e-mail address of a record."""
    holder = by_email(reading, row.email)
    if holder is None or holder.id == user_id:
        return "nobody"
    return "same company" if holder.company == row.company_id else "other company"


def _require_admitted(reading: Reading, company: str, address: str | None) -> None:
    if not admits(reading, published_rules(reading, company), address):
        raise Forbidden(
            "This account can't be reached from your address.",
            reason="company_address_not_allowed",
        )
