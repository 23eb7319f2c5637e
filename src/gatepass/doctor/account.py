"""The doctor's own service account: its tokens, and what Gatepass saw of their calls.

It lives as long as one examination. Its tokens expire by themselves, should the process be killed.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gatepass.core.approval import needing_approval
from gatepass.core.catalogue import CUSTOMER_SERVICE
from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.core.reason import Reason
from gatepass.doctor.probes import Probe
from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owners
from gatepass.registry.membership import owner_offboarding
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens, provisioning
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.policy import token_policies

#: How long a token lives if nothing ends it.
LIFETIME_MS = 10 * 60_000
_MOST_CALLS = 200
_POLL_S = 0.1
_LATE_S = 3.0


@dataclass(frozen=True, slots=True)
class OwnToken:
    """An access token of the account; ``text`` is never shown."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"OwnToken(id={self.id!r})"


class Account:
    """A service account with the role Customer Service; a context manager that ends it.

    Args:
        node: of the installation.
        company: an active one's id.

    Attributes:
        id: its own.
        run: random letters that tell this examination's calls apart.
        external_id: its own, which names the examination.
    """

    def __init__(self, node: Node, company: str) -> None:
        self._node = node
        self._company = company
        self._actor = Actor.command_line()
        self.run = secrets.token_hex(6)
        self.external_id = f"gatepass-doctor-{self.run}"
        self.id = ""
        self._tokens: list[OwnToken] = []

    def __enter__(self) -> Self:
        with self._node.database.write(self._node.clock.now()) as change:
            owner, _ = owners.put(
                change,
                self._actor,
                self._company,
                self.external_id,
                catalogue=self._node.catalogue,
                type=SERVICE_ACCOUNT,
                name="Gatepass doctor",
                role=CUSTOMER_SERVICE.id,
            )
        self.id = owner.id
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._node.database.write(self._node.clock.now()) as change:
            owner_offboarding.deactivate_of(change, self._actor, self._company, self.id)

    def may_hold(self, permission: str) -> bool:
        """Whether a token with *permission* needs no second person's approval."""
        with self._node.database.read(self._node.clock.now()) as reading:
            policy = token_policies.of(reading, self._company)
        return not needing_approval((permission,), policy.approval_required)

    def token(self, permission: str, network: str) -> OwnToken:
        """Create a token with one permission that is valid from one network."""
        now = self._node.clock.now()
        with self._node.database.write(now) as change:
            token, text = provisioning.create(
                change,
                self._actor,
                self._company,
                catalogue=self._node.catalogue,
                owner=self.id,
                kind="api",
                values={
                    "label": f"gatepass doctor {self.run}",
                    "permissions": [permission],
                    "networks": [network],
                    "expires_at": now + LIFETIME_MS,
                },
            )
        own = OwnToken(token.id, text)
        self._tokens.append(own)
        return own

    def end_tokens(self) -> None:
        """End all tokens."""
        with self._node.database.write(self._node.clock.now()) as change:
            for token in self._tokens:
                access_tokens.deactivate(change, self._actor, token.id)

    def calls(self, token: OwnToken, probes: Sequence[Probe], *, wait_s: float) -> "Calls":
        """The calls that Gatepass saw with *token*.

        Nodes count them some seconds late, so it waits until all that were refused are there, or no
        more of them come.

        Args:
            wait_s: how long at most.
        """
        wanted = [probe for probe in probes if probe.counted and probe.told != Reason.token_missing]
        wanted = [probe for probe in wanted if probe.refused]
        latest = until = time.monotonic() + wait_s
        known = 0
        while True:
            with self._node.database.read(self._node.clock.now()) as reading:
                found = self._read(reading, token)
            number = sum(found.of(probe) is not None for probe in wanted)
            if number > known:
                # Processes of a node are counted within this time of each other.
                until, known = min(latest, time.monotonic() + _LATE_S), number
            if number == len(wanted) or time.monotonic() > until:
                return found
            time.sleep(_POLL_S)

    def _read(self, reading: Reading, token: OwnToken) -> "Calls":
        page = access_tokens.calls(reading, self._actor, token.id, limit=_MOST_CALLS)
        return Calls(tuple(page.items))


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of a token, as Gatepass saw them."""

    rows: tuple[CallRecord, ...]

    def of(self, probe: Probe) -> CallRecord | None:
        """The call that is *probe*, by the refusal's id or, without one, by its origin."""
        decision = probe.decision
        for row in self.rows:
            if row.decision == decision if decision else row.origin == probe.origin:
                return row
        return None
