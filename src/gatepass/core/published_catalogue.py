"""The installation's catalogue as records among the grants, which every process decides from.

It takes the way of the grants: one commit with the roles that follow from it, one revision, the
same copies. There are two records, so that a process reads the long one only when it has changed.
No text is a credential with their ids, and nothing accepts their kind.
"""

import hashlib

import msgspec

from gatepass.core.catalogue import Catalogue
from gatepass.core.catalogue_file import Contents
from gatepass.core.grants import Grant, decode_grant

#: The kind of both records.
KIND = "catalogue"
#: The id of the record with the digest of the other's contents.
DIGEST_ID = "catalogue"
CONTENTS_ID = "catalogue/contents"
IDS = frozenset((DIGEST_ID, CONTENTS_ID))

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Contents)


def records(catalogue: Catalogue) -> tuple[Grant, Grant]:
    """The two records of *catalogue*."""
    encoded = _encoder.encode(catalogue.contents).decode()
    digest = hashlib.sha256(encoded.encode()).digest()
    return _record(DIGEST_ID, digest, ""), _record(CONTENTS_ID, digest, encoded)


def digest_in(record: bytes) -> bytes:
    """The digest in either record. Raises ``msgspec.DecodeError`` if the bytes aren't one."""
    return decode_grant(record).digest


def catalogue_in(record: bytes) -> Catalogue:
    """The catalogue in the record ``CONTENTS_ID``.

    Raises:
        msgspec.DecodeError, RouteError: the bytes aren't one.
    """
    return Catalogue.of(_decoder.decode(decode_grant(record).label))


def _record(id: str, digest: bytes, contents: str) -> Grant:
    return Grant(
        id=id,
        digest=digest,
        kind=KIND,
        company="",
        user="",
        label=contents,
        permissions=frozenset(),
        networks=None,
        domains=(),
        expires_at=None,
        deactivated=True,
    )
