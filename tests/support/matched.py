"""The permission that a catalogue's routes say a call needs."""

from gatepass.core.reason import Reason
from gatepass.core.routes import Routes


def matched(routes: Routes, method: str, path: str) -> str | Reason:
    """The permission of the route that a call matches, or why there is none."""
    found = routes.match(method, path)
    return found if isinstance(found, Reason) else found.permission
