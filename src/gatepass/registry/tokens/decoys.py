"""Decoys: tokens that are made to be found, and reported whenever somebody uses them.

A decoy has a label and a text, and nothing else. Verifiers refuse its text like one that doesn't
exist; ``membership.decoy_alarms`` tells the company.
"""

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.core.grants import DECOY
from gatepass.registry.actor import Actor
from gatepass.registry.tokens.records import AccessToken


def require_creator(actor: Actor, owner: str | None) -> None:
    """Require that a decoy is created by the user who is going to own it.

    Raises:
        Forbidden: ``portal_session``: a company's customers have no decoys.
        InvalidInput: another *owner* is named.
    """
    actor.refuse_portal_session()
    if owner is not None:
        raise InvalidInput([("owner", "Must be left out: a decoy has a label alone.")])


def refuse(token: AccessToken, what: str) -> None:
    """Require that *token*, which is to be *what*, such as ``replaced``, is no decoy.

    Raises:
        Conflict: ``decoy``, with the ``current`` record.
    """
    if token.kind == DECOY:
        raise Conflict(f"A decoy can't be {what}.", reason="decoy", current=token)
