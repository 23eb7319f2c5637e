"""Results of a scan."""

import msgspec

from gatepass.scan.matching import Match, without_secrets


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that was found. It holds nothing secret.

    Attributes:
        id: the credential's id, which begins with its prefix.
        path: the file's path, without the secrets of credentials in it.
        line: from 1.
        column: from 1, in characters.
        commit: the first commit with the credential, where a history was scanned.
    """

    id: str
    path: str
    line: int
    column: int
    commit: str | None = None

    @property
    def prefix(self) -> str:
        """The four letters of the kind of credential."""
        return self.id[:4]


class Unreadable(msgspec.Struct, frozen=True):
    """A path that could not be scanned, or not to its end, and why."""

    path: str
    reason: str


Result = Finding | Unreadable


def finding(match: Match, path: str, commit: str | None = None) -> Finding:
    """The finding for a match in the file *path*."""
    return Finding(
        id=match.credential.id,
        path=without_secrets(path),
        line=match.line,
        column=match.column,
        commit=commit,
    )


def unreadable(path: str, error: OSError | str) -> Unreadable:
    """The result for a path that *error* keeps from being scanned."""
    reason = error if isinstance(error, str) else error.strerror or type(error).__name__
    return Unreadable(without_secrets(path), without_secrets(reason))
