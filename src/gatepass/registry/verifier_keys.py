"""Verifier keys: what a gateway or service shows when it asks for decisions. Operators only."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from gatepass.registry.actor import Actor, Person


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """One verifier key, without its text. Times are Unix ms."""

    id: str
    label: str
    status: Literal["active", "deactivated"]
    created_at: int
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None


def create(session: Session, actor: Actor, *, label: str) -> tuple[VerifierKey, str]:
    """Make a key; its text is returned here and nowhere else, ever."""
    raise NotImplementedError


def list_(session: Session, actor: Actor) -> list[VerifierKey]:
    """All keys, newest first."""
    raise NotImplementedError


def deactivate(session: Session, actor: Actor, key_id: str) -> VerifierKey:
    """End a key at once. Repeating it changes nothing."""
    raise NotImplementedError
