"""Sample impacts of a change for the style guide."""

from gatepass.core.reason import Reason
from gatepass.registry.tokens.calls.impact import Impact, NewlyRefused
from gatepass.web.pages.text.times import DAY, HOUR


def sample_impacts(now: int) -> list[Impact]:
    """One that refuses calls, one that refuses none, and one of which too little is known."""
    refused = [
        NewlyRefused(
            access_token="gpat_7HqXw2Lk90aZbYcT",  # noqa: S106 - an id, not a secret
            label=label,
            reason=Reason.address_not_allowed.value,
            permission="charges:create",
            route=route,
            method=method,
            address=address,
            origin=None,
            count=count,
            first_at=now - 20 * DAY,
            last_at=now - count * HOUR,
        )
        for label, method, route, address, count in (
            ("Nightly settlement", "POST", "/v1/charges", "192.0.2.9", 7),
            ("Nightly settlement", "GET", "/v1/charges/{id}", "2001:db8:1:2:3:4:5:6", 3),
            ("Checkout", None, None, "192.0.2.10", 1),
            ("Checkout", "POST", "/v1/charges/{id}/refunds", "192.0.2.10", 1),
            ("Reporting", None, None, "198.51.100.7", 1),
        )
    ]
    return [
        Impact(3_041, 13, 0, distinct=len(refused), items=refused),
        Impact(3_041, 0, 0),
        Impact(3_041, 0, 40, complete=False),
        Impact(),
    ]
