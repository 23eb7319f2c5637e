"""Forms that create one record with a secret, however often they are sent.

A form that is sent twice would create two keys, and show the text of one of them to nobody.
"""

import re
import secrets
from collections.abc import Callable
from typing import Protocol, TypeVar

from gatepass.registry.storage.database import Change, Repeated
from gatepass.registry.storage.idempotent_answers import Answer, IdempotentRequest
from gatepass.web.pages.layout.screen import Screen

INCOMPLETE = "The form was incomplete. Check it and press Create again."

#: Whether a text is the id of a form.
is_form_id = re.compile("[A-Za-z0-9_-]{22}").fullmatch


class _Record(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Record)


class AlreadyCreated(Exception):
    """The form has created its record before; the secret isn't shown again."""


def new_form_id() -> str:
    """The one-time id of a form: 128 random bits, so that no one can guess it."""
    return secrets.token_urlsafe(16)


def create_once(
    screen: Screen, path: str, form_id: str, create: Callable[[Change], tuple[R, str]]
) -> tuple[R, str, bool]:
    """Create a record, unless this form of the visitor's has.

    Args:
        path: of the form.
        create: returns the record and its secret.

    Returns:
        Those two, and whether the change is confirmed.

    Raises:
        AlreadyCreated: it has.
    """
    # Of the visitor, not of their sign-in: a form is kept while they sign in again.
    sent = IdempotentRequest(screen.actor.user or "", form_id, path, b"")
    try:
        with screen.write() as change:
            sent.watch(change)
            made, secret = create(change)
            sent.keep(change, Answer(200, [], made.id.encode()))
    except Repeated:
        raise AlreadyCreated from None
    return made, secret, change.confirmed
