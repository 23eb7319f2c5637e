"""A company's token policy in words."""

from gatepass.core.token_policy import TokenPolicy
from gatepass.web.pages.text.wording import counted, listed, some


def broken_rule(policy: TokenPolicy, rule: str) -> str:
    """What a token that breaks a rule of *policy* can do: "3 can …", "it can …"."""
    if rule == "networks_required":
        return "can be used from any address"
    days = counted(getattr(policy, rule), "day")
    if rule == "unused_days":
        return f"can be unused for more than {days}"
    return f"can live for more than {days}"


def policy_sentence(policy: TokenPolicy) -> str:
    """What *policy* requires of tokens from now on, and when their owners are warned."""
    rules = []
    if policy.longest_life_days is not None:
        rules.append(f"live for {counted(policy.longest_life_days, 'day')} at most")
    if policy.networks_required:
        rules.append("need IP addresses (for UI, domains will do)")
    if policy.unused_days is not None:
        rules.append(f"end after at most {counted(policy.unused_days, 'day')} without use")
    if policy.approval_required:
        rules.append(f"need approval for {some(policy.approval_required)}")
    required = f"New and edited access tokens {listed(rules)}." if rules else "Nothing is required."
    days = listed([str(day) for day in policy.warn_days])
    if not policy.warn_days:
        return f"{required} Nobody is warned before a token expires."
    unit = "day" if policy.warn_days == (1,) else "days"
    return f"{required} Owners are warned {days} {unit} before a token expires."
