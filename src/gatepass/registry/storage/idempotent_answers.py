"""Answers to POSTs with an ``Idempotency-Key``, so that a repeated one changes nothing.

An answer may hold a secret that is sent only once. It is encrypted (AES-256-GCM) under a key that
is derived from the credential's text and the idempotency key; neither is stored. It commits in the
transaction of its change, so after a crash there are both or neither. All changes have one lock:
of two equal requests at a time, on any nodes, the second finds the first's answer.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, delete, func, insert, select

from gatepass.core.credentials import ADMIN_KEY, ID_LENGTH, LOGIN_TOKEN, PREFIXES
from gatepass.core.errors import Conflict, TooManyAttempts
from gatepass.core.imported_keys import of_digest
from gatepass.registry.storage.database import Change, Repeated
from gatepass.registry.storage.tables import idempotent_answers

KEPT_MS = 86_400_000
#: Answers that are kept of one access token or portal session. Programs of others have these, and
#: may repeat what changes nothing with ever new keys.
MOST_KEPT = 1_000

# Of a person, or a platform's backend, which creates as many tokens as it has customers.
_UNBOUNDED = (f"{LOGIN_TOKEN}_", f"{ADMIN_KEY}_")
_NONCE_BYTES = 12
_WITH_ID = tuple(f"{prefix}_" for prefix in PREFIXES)
_PURPOSE = b"gatepass idempotent answer"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer of the REST API.

    Attributes:
        headers: those that belong to the body, such as ``ETag``.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    request_digest: bytes
    answer: Answer


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that must be carried out once.

    Attributes:
        credential: its text.
        key: as sent.
        path: of the request; the same key with another path is another request.
        body: as sent; with the same key and path it must be the same.
    """

    credential: str
    key: str
    path: str
    body: bytes

    def __repr__(self) -> str:
        return f"IdempotentRequest({self._name!r}, {self.path!r})"

    def watch(self, change: Change) -> None:
        """Let *change* end with its first answer, if the request was carried out before.

        Once the actor has been checked again, it raises Repeated with the ``Answer``; or Conflict,
        ``idempotency_mismatch``: the body was another one.
        """

        def require_new() -> None:
            change.on_admitted = None
            self._require_new(change)

        change.on_admitted = require_new

    def keep(self, change: Change, answer: Answer) -> None:
        """Store the answer in the transaction of what it tells.

        Raises:
            Repeated, Conflict: as ``watch`` says, if the change checked no actor and wrote nothing.
            TooManyAttempts: of this credential too many are kept.
        """
        if change.on_admitted is not None:
            change.on_admitted()
        self._require_within_bound(change)
        kept = _encode(_Kept(self._digest, answer))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher().encrypt(nonce, kept, self._owner)
        # One that is older than KEPT_MS may be there.
        change.session.execute(delete(idempotent_answers).where(*self._place))
        values = {**self._key_columns, "at": change.now, "sealed": sealed}
        change.session.execute(insert(idempotent_answers), values)

    def _require_within_bound(self, change: Change) -> None:
        if self.credential.startswith(_UNBOUNDED):
            return
        table = idempotent_answers.c
        its = (table.credential == self._name, table.at > change.now - KEPT_MS)
        some = select(table.at).where(*its).limit(MOST_KEPT).subquery()
        count = select(func.count(), func.min(some.c.at)).select_from(some)
        kept, oldest = change.session.execute(count).one()
        if kept >= MOST_KEPT:
            raise TooManyAttempts(
                (oldest + KEPT_MS - change.now) // 1_000 + 1,
                "This credential used too many Idempotency-Keys within 24 hours.",
            )

    def _require_new(self, change: Change) -> None:
        table = idempotent_answers.c
        found = select(table.sealed).where(*self._place, table.at > change.now - KEPT_MS)
        sealed = change.session.execute(found).scalar_one_or_none()
        if sealed is None:
            return
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            kept = _decode(self._cipher().decrypt(nonce, encrypted, self._owner))
        except (InvalidTag, msgspec.DecodeError):
            kept = None
        if kept is None or kept.request_digest != self._digest:
            raise Conflict(
                "This Idempotency-Key was used with another body.", reason="idempotency_mismatch"
            )
        raise Repeated(kept.answer)

    @property
    def _key_columns(self) -> dict[str, Any]:
        return {
            "credential": self._name,
            "key_digest": hashlib.sha256(self.key.encode()).digest(),
            "path_digest": self._path_digest,
        }

    @property
    def _place(self) -> list[ColumnElement[bool]]:
        columns = self._key_columns.items()
        return [idempotent_answers.c[name] == value for name, value in columns]

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.body).digest()

    @property
    def _path_digest(self) -> bytes:
        return hashlib.sha256(self.path.encode("utf-8", "surrogatepass")).digest()

    @property
    def _owner(self) -> bytes:
        return self._name.encode() + self._path_digest

    @property
    def _name(self) -> str:
        """The credential's id. An imported key has none in its text."""
        if self.credential.startswith(_WITH_ID):
            return self.credential[:ID_LENGTH]
        return of_digest(hashlib.sha256(self.credential.encode()).digest()).id

    def _cipher(self) -> AESGCM:
        # A credential has a fixed length, so the two can't be divided in another way.
        material = f"{self.credential}{self.key}".encode()
        return AESGCM(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(material))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode
