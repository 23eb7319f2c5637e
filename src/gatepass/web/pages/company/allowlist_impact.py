"""The effect of an allowlist before it is saved: its networks, and who would be locked out."""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepass.registry.actor import Actor
from gatepass.registry.network_policy import allowlist_impact
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry
from gatepass.registry.network_policy.allowlist_impact import AllowlistImpact
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.text.wording import counted


@dataclass(frozen=True)
class Reach:
    """The effect of a list.

    Attributes:
        problem: why the list can't be read yet; the other attributes are empty then.
        networks: the networks allowed; () allows any address.
        changed: whether it differs from the list in effect.
        impact: the users and tokens that would be locked out; None if that wasn't looked up.
    """

    problem: str = ""
    networks: tuple[str, ...] = ()
    changed: bool = False
    impact: AllowlistImpact | None = None

    @property
    def locked_out(self) -> str:
        """``2 people and 1 token``; "" for none."""
        if self.impact is None:
            return ""
        users, tokens = self.impact.user_count, self.impact.token_count
        people = "1 person" if users == 1 else f"{users:,} people"
        said = [people] * bool(users) + [counted(tokens, "token")] * bool(tokens)
        return " and ".join(said)

    @property
    def excludes_you(self) -> bool:
        """Whether the visitor would be locked out."""
        return self.impact is not None and not self.impact.includes_you


def reach_of(
    reading: Reading, actor: Actor, company: str, current: Allowlist, typed: Sequence[Entry]
) -> Reach:
    """The effect of saving the list *typed* in place of *current*.

    Raises:
        InvalidInput: an entry is invalid.
    """
    found = allowlist_impact.preview(reading, actor, company, typed)
    # The registry keeps the first of two equal networks.
    entries = {entry.network: entry for entry in reversed(typed)}
    return Reach(
        networks=tuple(dict.fromkeys(entry.network for entry in typed)),
        changed=entries != {entry.network: entry for entry in current.entries},
        impact=found,
    )
