"""What an allowlist that is being typed would make true: the sentence before its form's end."""

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
    """From where the account could be reached.

    Attributes:
        problem: why that can't be told yet; the rest says nothing then.
        networks: what would be let in; none is everything.
        changed: it isn't what counts already.
        shut_out: whom it would shut out; None where that wasn't asked.
    """

    problem: str = ""
    networks: tuple[str, ...] = ()
    changed: bool = False
    shut_out: AllowlistImpact | None = None

    @property
    def whom(self) -> str:
        """``2 people and 1 token``; empty for nobody."""
        if self.shut_out is None:
            return ""
        users, tokens = self.shut_out.user_count, self.shut_out.token_count
        people = "1 person" if users == 1 else f"{users:,} people"
        said = [people] * bool(users) + [counted(tokens, "token")] * bool(tokens)
        return " and ".join(said)

    @property
    def excludes_you(self) -> bool:
        """Whether whoever is typing would be shut out."""
        return self.shut_out is not None and not self.shut_out.includes_you


def reach_of(
    reading: Reading, actor: Actor, company: str, current: Allowlist, typed: Sequence[Entry]
) -> Reach:
    """What the list *typed* would make true where *current* counts.

    Raises:
        InvalidInput: for what can't stand.
    """
    found = allowlist_impact.preview(reading, actor, company, typed)
    # Of the same network twice the first counts, as the registry has it.
    entries = {entry.network: entry for entry in reversed(typed)}
    return Reach(
        networks=tuple(dict.fromkeys(entry.network for entry in typed)),
        changed=entries != {entry.network: entry for entry in current.entries},
        shut_out=found,
    )
