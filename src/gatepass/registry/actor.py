"""The actor of an operation, its permissions, and the subject it acts on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gatepass.core.errors import Forbidden
from gatepass.core.permissions import EVERYTHING, NOT_FOR_TOKENS, covers

ActorKind = Literal["user", "token", "admin_key", "portal_session", "command line", "system"]

_OWN_MACHINE = ("command line", "system")


@dataclass(frozen=True, slots=True)
class Person:
    """A user named in a record; with ``id`` None, the command line or the system.

    Of a record that ended by itself, ``id`` is the cause (``Actor.cause``).
    """

    id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The record acted on: ``access_token``, its id, and its label or name at that time."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller of an operation, which checks it and records it in the audit event.

    Attributes:
        kind: ``user`` authenticated with a login token, ``token`` with an access token,
            ``admin_key`` with an admin key, ``portal_session`` with a portal session's token.
        company: the company whose records it sees and changes. None means every company; only the
            command line, the system and an admin key without a company may have it.
        user: the id of the user; for an access token or a portal session, of its owner. An admin
            key has none.
        name: its name in records; an admin key's is its label.
        permissions: the effective permissions of the credential; of an admin key, its areas; of a
            portal session, what the tokens that it creates and changes may hold.
        credential: id of the access token, admin key, portal session or authentication in use.
        address: the client address of the request, as text; None if there is none.
        operator: whether it also manages the installation (``*`` never covers that).
        opened_by: the label of the admin key, or the name of the operator, that opened the portal
            session in use.
        cause: why records end, where that isn't simply its decision: ``rotation``, ``reuse``,
            ``unused``. They name it as ``deactivated_by``; audit events name the actor.
    """

    kind: ActorKind
    company: str | None
    user: str | None
    name: str
    permissions: frozenset[str]
    credential: str | None = None
    address: str | None = None
    operator: bool = False
    opened_by: str = ""
    cause: str = ""

    def __post_init__(self) -> None:
        if self.kind == "admin_key":
            if not self.credential or self.user or self.operator:
                raise ValueError("an admin_key actor must have a credential alone")
            return
        # A missing company must never mean "all companies".
        if self.kind not in _OWN_MACHINE and not (self.company and self.user and self.credential):
            raise ValueError(f"a {self.kind} actor must have a company, a user and a credential")

    @classmethod
    def command_line(cls) -> "Actor":
        """The actor of ``gatepass`` commands: all permissions, in every company."""
        return cls("command line", None, None, "the command line", _ALL, operator=True)

    @classmethod
    def system(cls) -> "Actor":
        """Gatepass itself, for example when it applies a changed catalogue."""
        return cls("system", None, None, "Gatepass", _ALL, operator=True)

    @property
    def person(self) -> Person:
        """This actor as records name it (``created_by``, ``deactivated_by``)."""
        if self.cause:
            return Person(self.cause, self.cause)
        return Person(None if self.is_portal_session else self.user, self.name)

    @property
    def audited_name(self) -> str:
        """Its name in the audit log."""
        return f"{self.name} (portal of {self.opened_by})" if self.opened_by else self.name

    @property
    def is_portal_session(self) -> bool:
        """Whether it is a portal session, which reaches its owner's access tokens alone."""
        return self.kind == "portal_session"

    @property
    def only_owner(self) -> str | None:
        """The id of the only owner whose access tokens it reaches; None is no limit."""
        return self.user if self.is_portal_session else None

    def may(self, permission: str) -> bool:
        """Whether it holds *permission*: a name, ``resource:*`` or ``*``."""
        if self.kind in ("token", "portal_session") and permission in NOT_FOR_TOKENS:
            return False
        return covers(self.permissions, permission)

    def require(self, permission: str, *, portal: bool = False) -> None:
        """Raise Forbidden (``permission_missing``) unless it holds *permission*.

        Args:
            portal: whether a portal session may do it, which needs no permission; else
                ``portal_session``. The operation must limit it to records of its owner.
        """
        if self.is_portal_session:
            if not portal:
                self.refuse_portal_session()
        elif not self.may(permission):
            raise Forbidden(f"This needs the permission {permission}.", permission=permission)

    def require_held(self, permissions: Iterable[str]) -> None:
        """Raise Forbidden (``permission_missing``) unless it holds all of *permissions*.

        Nobody grants more than they hold, or changes a record that holds more than they do.
        """
        missing = next((name for name in sorted(permissions) if not self.may(name)), None)
        if missing is not None:
            raise Forbidden(
                f"You can't grant or change a permission that you don't hold: {missing}.",
                permission=missing,
            )

    def require_signed_in(self) -> None:
        """Raise Forbidden unless it is a signed-in user or this machine's.

        ``signed_in_user_required`` for an access token, ``admin_key``, ``portal_session``. A leaked
        token must not be able to create successors or to widen its permissions.
        """
        self.refuse_admin_key()
        self.refuse_portal_session()
        if self.kind == "token":
            raise Forbidden(
                "This needs a signed-in user; an access token can't do it.",
                reason="signed_in_user_required",
            )

    def require_user(self) -> None:
        """Raise Forbidden (``signed_in_user_required``) unless it is a signed-in user.

        No other actor has an account and sign-ins of its own.
        """
        self.require_signed_in()
        if self.kind != "user":
            raise Forbidden("This needs a signed-in user.", reason="signed_in_user_required")

    def refuse_admin_key(self) -> None:
        """Raise Forbidden (``admin_key``) for an admin key, which acts on few records only."""
        if self.kind == "admin_key":
            raise Forbidden("An admin key can't be used here.", reason="admin_key")

    def refuse_portal_session(self) -> None:
        """Raise Forbidden (``portal_session``) for a portal session."""
        if self.is_portal_session:
            raise Forbidden("A portal session can't be used here.", reason="portal_session")

    def require_area(self, area: str) -> None:
        """Raise Forbidden unless it is an operator, or an admin key with the permission *area*.

        ``permission_missing`` for an admin key, ``signed_in_user_required`` for an access token,
        ``portal_session``, ``operator_required`` for a user.
        """
        if self.kind != "admin_key":
            self.require_signed_in()
            self.require_operator()
        elif area not in self.permissions:
            raise Forbidden(f"This admin key lacks the permission {area}.")

    def require_operator(self) -> None:
        """Raise Forbidden (``operator_required``) unless it is an operator."""
        if not self.operator:
            raise Forbidden("Only operators may do this.", reason="operator_required")


_ALL = frozenset({EVERYTHING})
