"""One call that is asked about, and all that answers it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from gatepass.core.catalogue import Catalogue
from gatepass.core.decision import Call
from gatepass.core.explanation import Explanation, Rule, explain
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.directory.role_records import Role
from gatepass.registry.explanations.change import Change, changed
from gatepass.registry.network_policy.allowlist_entries import Allowlist


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of a token, at a time, after a change.

    Attributes:
        token: a row of ``tokens.records.STORED``.
        grant, holder, company: what a decision reads now.
        at: the call's time, in Unix ms.
        now: the present, in Unix ms.
        rule: ``decide``; or ``admit`` for a call to the control plane.
        change: empty if everything is as it is.
        allowlist: None if the actor may not see it.
        roles: of the company, by id; likewise.
        policy: the company's, of its tokens.
    """

    token: Row[Any]
    grant: Grant
    holder: Holder | None
    company: CompanyRules | None
    call: Call
    at: int
    now: int
    rule: Rule
    change: Change
    allowlist: Allowlist | None
    roles: Mapping[str, Role] | None
    policy: TokenPolicy
    catalogue: Catalogue

    def explain(self, change: Change) -> Explanation:
        """The explanation after *change*."""
        after = changed(self.grant, self.holder, self.company, change, catalogue=self.catalogue)
        return explain(
            *after,
            self.call,
            self.at,
            rule=self.rule,
            name_allowlist=self.allowlist is not None,
        )
