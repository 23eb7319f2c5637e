"""How talking to the sign-in provider fails: it can't be reached, or what it sent is refused."""

from gatepass.core.errors import Unavailable


class ProviderUnavailable(Unavailable):
    """The provider can't be used now: no answer, or one that isn't OpenID Connect.

    Attributes:
        why: for the log; never a secret, and nothing that the provider wrote.
    """

    reason = "provider_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__("The sign-in provider can't be reached right now. Try again in a minute.")
        self.why = why


class TokenRefused(Exception):
    """A token or an answer of the provider isn't accepted.

    Attributes:
        why: one word for the log, listed in docs/how-to/troubleshooting.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
