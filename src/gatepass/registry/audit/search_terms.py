"""Resolves search terms of the audit log: names of users and labels of tokens."""

from dataclasses import dataclass

from sqlalchemy import select

from gatepass.core.credentials import ID_LENGTH
from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.input.emails import fold_email
from gatepass.registry.input.text import folded, storable
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import contains
from gatepass.registry.storage.tables import access_tokens, users

#: With more matches the search asks for a longer term: leaving some out would be worse.
MOST = 20


@dataclass(frozen=True, slots=True)
class Named:
    """A user or token that matches a search term, and its name or label."""

    id: str
    name: str


def token_id(text: str) -> str | None:
    """The token id that *text* is or, like a token's text, begins with; None otherwise."""
    start = text[:ID_LENGTH]
    fits = len(start) == ID_LENGTH and start.isascii() and start[5:].isalnum()
    return start if fits and start[:5] in ("gpat_", "gplt_") else None


def tokens_called(reading: Reading, actor: Actor, text: str) -> list[Named]:
    """The company's access tokens whose label contains *text*.

    If *text* is an id or a token's text, only the access or login token with that id. The secret in
    a token's text isn't read.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``token``; more than ``MOST`` match.
    """
    actor.require("audit:get")
    if not storable(text):
        return []
    wanted = [access_tokens.c.company_id == actor.company]
    own_id = token_id(text)
    if own_id is not None:
        wanted.append(access_tokens.c.id == own_id)
    else:
        wanted.append(contains(reading, access_tokens.c.label_folded, folded(text)))
    rows = reading.session.execute(
        select(access_tokens.c.id, access_tokens.c.label)
        .where(*wanted)
        .order_by(access_tokens.c.created_at.desc(), access_tokens.c.id.desc())
        .limit(MOST + 1)
    ).all()
    if own_id is not None and not rows:
        return [Named(own_id, own_id)]
    return _few("token", [Named(row.id, row.label) for row in rows])


def people_called(reading: Reading, actor: Actor, text: str) -> list[Named]:
    """The company's users whose name contains *text*.

    If *text* is an id or an e-mail address, only its users: deactivated users may have had the same
    address.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``person``; more than ``MOST`` match.
    """
    actor.require("audit:get")
    if not storable(text):
        return []
    ours = select(users.c.id, users.c.name).where(users.c.company_id == actor.company)
    ours = ours.order_by(users.c.created_at, users.c.id)
    exactly = (users.c.id == text) | (users.c.email_folded == fold_email(text))
    those = reading.session.execute(ours.where(exactly).limit(MOST + 1)).all()
    if those:
        return _few("person", [Named(row.id, row.name) for row in those])
    rows = reading.session.execute(ours)
    wanted = folded(text)
    return _few("person", [Named(row.id, row.name) for row in rows if wanted in folded(row.name)])


def _few(field: str, found: list[Named]) -> list[Named]:
    if len(found) > MOST:
        message = f"Enter more of the name, or the id: more than {MOST} match."
        raise InvalidInput([(field, message)])
    return found
