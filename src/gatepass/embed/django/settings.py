"""``settings.GATEPASS``, read once in a process."""

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
    """What ``settings.GATEPASS`` says."""

    gate: Gate
    cors: bool


_opening = threading.Lock()
_opened: Gatepass | None = None


def gatepass() -> Gatepass:
    """What the settings say; the verifier is opened when it is first asked for.

    Raises:
        Misconfigured, CatalogueError, RouteError, InvalidNetwork: they can't be used.
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
        raise Misconfigured(f"GATEPASS has no {name}; it knows {', '.join(sorted(_KNOWN))}")
    if "VERIFIER" not in wanted:
        raise Misconfigured("GATEPASS names no VERIFIER: a function that opens one, or its path")
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
    """Tests change settings."""
    global _opened
    if setting == "GATEPASS":
        _opened = None


setting_changed.connect(_forget)
