"""Who acts, what they may do, and on what they act."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gatepass.core.errors import Forbidden
from gatepass.core.permissions import EVERYTHING, covers

ActorKind = Literal["user", "token", "command line", "system"]

_OWN_MACHINE = ("command line", "system")


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a record names: a user, or (``id`` None) the command line or the system itself."""

    id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What was acted upon: ``access_token``, its id, and its label or name at that time."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. Every operation takes one, checks it, and writes it into the audit event.

    Attributes:
        kind: ``user`` came with a login token, ``token`` with an access token.
        company: whose records it sees and changes. None means every company's, and only the
            command line and the system itself may have it.
        user: the id of the person; a token's is its maker.
        name: how the audit log names it.
        permissions: what the credential in use holds effectively.
        credential: id of the access token or authentication in use.
        address: where the request came from, as text; None where there is none.
        operator: looks after the installation too (``*`` never covers that).
    """

    kind: ActorKind
    company: str | None
    user: str | None
    name: str
    permissions: frozenset[str]
    credential: str | None = None
    address: str | None = None
    operator: bool = False

    def __post_init__(self) -> None:
        # A forgotten company must never turn into "all companies".
        if self.kind not in _OWN_MACHINE and not (self.company and self.user and self.credential):
            raise ValueError(f"an actor of kind {self.kind} has a company, a user and a credential")

    @classmethod
    def command_line(cls) -> "Actor":
        """Whoever runs ``gatepass`` on the server: everything, in every company."""
        return cls("command line", None, None, "the command line", _ALL, operator=True)

    @classmethod
    def system(cls) -> "Actor":
        """Gatepass itself, following a changed catalogue or setting."""
        return cls("system", None, None, "Gatepass", _ALL, operator=True)

    @property
    def person(self) -> Person:
        """How records name this actor (``created_by``, ``deactivated_by``)."""
        return Person(self.user, self.name)

    def may(self, permission: str) -> bool:
        """Whether it holds *permission*: a name, ``resource:*`` or ``*``."""
        return covers(self.permissions, permission)

    def require(self, permission: str) -> None:
        """Raise Forbidden (``permission_missing``) unless it holds *permission*."""
        if not self.may(permission):
            raise Forbidden(f"This needs the permission {permission}.", permission=permission)

    def require_held(self, permissions: Iterable[str]) -> None:
        """Raise Forbidden (``permission_missing``) unless it holds all of *permissions*: nobody
        grants more than they hold, or changes what holds more than they do."""
        missing = next((name for name in sorted(permissions) if not self.may(name)), None)
        if missing is not None:
            raise Forbidden(
                f"Nobody grants more than they hold, and you don't hold {missing}.",
                permission=missing,
            )

    def require_signed_in(self) -> None:
        """Raise Forbidden (``signed_in_user_required``) for an access token: a leaked one must not
        be able to make itself successors, or to widen what it may do."""
        if self.kind == "token":
            raise Forbidden(
                "This needs a signed-in user; an access token can't do it.",
                reason="signed_in_user_required",
            )

    def require_user(self) -> None:
        """Raise Forbidden (``signed_in_user_required``) for anyone but a signed-in user: only one
        has an account and sign-ins of their own."""
        self.require_signed_in()
        if self.kind != "user":
            raise Forbidden("Nobody is signed in.", reason="signed_in_user_required")

    def require_operator(self) -> None:
        """Raise Forbidden (``operator_required``) for anyone who isn't an operator."""
        if not self.operator:
            raise Forbidden("Only operators may do this.", reason="operator_required")


_ALL = frozenset({EVERYTHING})
