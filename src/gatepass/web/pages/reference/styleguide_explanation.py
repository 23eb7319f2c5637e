"""A sample explanation for the style guide."""

from gatepass.core.decision import Call, Reason
from gatepass.core.explanation import explain
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.registry.explanations.explaining import Explained
from gatepass.web.pages.access_tokens.fix_links import OfferedFix


def sample_explanation(now: int) -> Explained:
    """A call that the token's networks refuse."""
    permission = frozenset({"charges:create"})
    grant = Grant(
        id="gpat_7HqXw2Lk90aZbYcT",
        digest=bytes(32),
        kind="api",
        company="com_acme",
        user="usr_ada",
        label="Nightly settlement",
        permissions=permission,
        networks=Networks.of([parse_network("203.0.113.0/24")]),
        domains=(),
        expires_at=None,
        deactivated=False,
    )
    holder = Holder("usr_ada", "com_acme", True, "admin")
    company = CompanyRules("com_acme", True, None, {"admin": permission})
    address = parse_address("192.0.2.9")
    call = Call(Reason.token_missing, permission="charges:create", address=address)
    return Explained(explain(grant, holder, company, call, now), [])


SAMPLE_FIXES = (
    OfferedFix(
        "Add 192.0.2.9 to the token's networks.",
        (("Edit the token", "#sg-explanation"),),
    ),
    OfferedFix(
        "Add 192.0.2.9 to the company's allowlist and add 192.0.2.9 to the token's networks.",
        (("Edit the token", "#sg-explanation"), ("Edit the allowlist", "#sg-explanation")),
    ),
    OfferedFix(
        "Add charges:create to the token's permissions.", ask=("Ada Lovelace", "Grace Hopper")
    ),
    OfferedFix(
        "Give the token's owner the role Customer Service.",
        note="The product that the owner comes from can do this.",
    ),
)
