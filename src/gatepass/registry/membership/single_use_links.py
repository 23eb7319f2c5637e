"""Links in mail: made when the mail goes out, followed once.

Of a link only its id and its secret's digest are kept: whoever reads the database can neither use
a link nor make one. A record has one link at most; a new one ends the former.
"""

from typing import Any

from sqlalchemy import Row, Select, Table, update

from gatepass.core.credentials import make, matches, parse
from gatepass.core.errors import Forbidden
from gatepass.core.networks import parse_address
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.storage.database import Reading, Write


def new_link(write: Write, table: Table, record_id: str, prefix: str) -> str:
    """Give a record of *table* a link in place of its former one.

    Returns:
        The text that goes into the mail, and nowhere else, ever.
    """
    credential = make(prefix)
    write.session.execute(
        update(table)
        .where(table.c.id == record_id)
        .values(link_id=credential.id, link_digest=credential.digest)
    )
    return credential.text


def followed(reading: Reading, stored: Select[Any], table: Table, text: str) -> Row[Any] | None:
    """The row of *stored* that the link *text* belongs to; None if it is no link of ours.

    Whether the record is still good for anything is for the caller to say.
    """
    credential = parse(text)
    if credential is None:
        return None
    row = reading.session.execute(stored.where(table.c.link_id == credential.id)).one_or_none()
    if row is None or not matches(credential, row.link_digest):
        return None
    return row


def require_admitted(reading: Reading, company: str, address: str | None) -> None:
    """Refuse whoever follows a good link from where the company's account can't be reached.

    Raises:
        Forbidden: ``company_address_not_allowed``.
    """
    allowlist = published_rules(reading, company).allowlist_at(reading.now)
    packed = parse_address(address)
    if allowlist is not None and (packed is None or not allowlist.contains(packed)):
        raise Forbidden(
            "This account can't be reached from your address.",
            reason="company_address_not_allowed",
        )
