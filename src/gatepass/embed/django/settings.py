"""``settings.GATEPASS``, read once per process."""

import threading
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from gatepass.core.errors import Misconfigured
from gatepass.embed.gate import Gate, RouteGate

_KNOWN = {"VERIFIER", "PERMISSIONS", "CATALOGUE", "EXEMPT", "TRUSTED_PROXIES", "CORS"}


@dataclass(frozen=True)
class Gatepass:
    """The parsed ``settings.GATEPASS``."""

    gate: Gate
    cors: bool


_opening = threading.Lock()
_opened: Gatepass | None = None


def gatepass() -> Gatepass:
    """The parsed settings; the first call opens the verifier.

    Raises:
        Misconfigured, CatalogueError, RouteError, InvalidNetwork: the settings are invalid.
    """
    global _opened
    opened = _opened
    if opened is None:
        with _opening:
            opened = _opened = _opened or _open()
    return opened


def _open() -> Gatepass:
    wanted: dict[str, Any] = getattr(settings, "GATEPASS", {})
    for name in sorted(wanted.keys() - _KNOWN):
        raise Misconfigured(
            f"GATEPASS must not have {name}; known settings: {', '.join(sorted(_KNOWN))}"
        )
    if "VERIFIER" not in wanted:
        raise Misconfigured(
            "GATEPASS must have VERIFIER: a function that opens a verifier, or its dotted path"
        )
    routes = {
        name.lower(): wanted[name]
        for name in ("PERMISSIONS", "CATALOGUE", "EXEMPT")
        if wanted.get(name) is not None
    }
    opener = wanted["VERIFIER"]
    verifier = (import_string(opener) if isinstance(opener, str) else opener)()
    trusted = wanted.get("TRUSTED_PROXIES", ())
    gate = (
        RouteGate(verifier, trusted_proxies=trusted, **routes)
        if routes
        else Gate(verifier, trusted)
    )
    return Gatepass(gate, bool(wanted.get("CORS", False)))


def _forget(*, setting: str, **_: Any) -> None:
    """Read the settings again; tests change them."""
    global _opened
    if setting == "GATEPASS":
        _opened = None


setting_changed.connect(_forget)
