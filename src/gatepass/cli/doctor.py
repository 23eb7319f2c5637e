"""``gatepass doctor``: checks a gateway by sending calls through it."""

import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Annotated, TypeVar

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, print_json, print_table
from gatepass.cli.tree import app
from gatepass.core.errors import Misconfigured
from gatepass.core.networks import format_address, parse_address
from gatepass.core.routes import CatalogueRoute
from gatepass.doctor.echo import Echo
from gatepass.doctor.examination import Examination, paths_of
from gatepass.doctor.findings import (
    ASKED,
    BEHIND,
    CHECKS,
    OUTAGE,
    Check,
    Finding,
    Outcome,
    in_order,
)
from gatepass.doctor.outage import outage
from gatepass.doctor.timing import CALLS
from gatepass.doctor.wire import Gateway
from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies

T = TypeVar("T")

_SHOWN: dict[Outcome, str] = {"passed": "ok", "failed": "wrong", "not_checked": "not checked"}
_COMPANIES_READ = 200
_TO_CHECK = {
    **dict.fromkeys((check.name for check in BEHIND), "let the gateway forward to --echo PORT"),
    OUTAGE.name: "stop Gatepass, and run it again with --away",
}


@app.command()
def doctor(
    gateway: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The gateway as callers see it; with a path of the API that calls may name.",
            show_default=False,
        ),
    ],
    echo: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Listen there in the API's place, to which the gateway forwards, and check what "
            "arrives.",
            show_default=False,
        ),
    ] = None,
    away: Annotated[
        bool,
        typer.Option("--away", help="Gatepass is stopped now: check only that nobody gets in."),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="IP",
            help="The address that the gateway must see; by default this computer's.",
            show_default=False,
        ),
    ] = None,
    company: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The company to create a token in for a while; by default the only one.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Check a gateway by sending calls through it; exit code 1 means that something is wrong.

    It creates a service account with tokens, and ends them. Gatepass refuses all calls, except with
    --echo.
    """
    where = _read(gateway, "--gateway", Gateway.at)
    listening = None if echo is None else _read(echo, "--echo", _listening)
    expected = None if address is None else _read(address, "--address", _address)
    if away and (echo or address or company):
        raise typer.BadParameter("must not be combined with other options", param_hint="--away")
    with opened() as node:
        path = _path(where, node)
        if away:
            found = [outage(where, path)]
        else:
            its = _company(node, company)
            if not json:
                typer.echo(f"gatepass: calling {where.url}; this takes some seconds", err=True)
            found = _examine(node, where, path, its, expected, listening)
            if not json and _is_watched() and not _wrong(found, (ASKED,)):
                found += _when_stopped(where, path)
            found = list(in_order(found, _why_not(found)))
    _print(where, found, json=json)
    raise typer.Exit(1 if _wrong(found) else 0)


def _examine(
    node: Node,
    gateway: Gateway,
    path: str,
    company: str,
    address: str | None,
    listening: tuple[str, int] | None,
) -> list[Finding]:
    with ExitStack() as stack:
        # Neither a pipeline's signal nor a lost terminal may leave a token behind.
        for number in (signal.SIGTERM, signal.SIGHUP):
            former = signal.signal(number, signal.default_int_handler)
            stack.callback(signal.signal, number, former)
        echo = None if listening is None else stack.enter_context(Echo(*listening))
        return Examination(node, gateway, path, company, address, echo, CALLS).findings()


def _is_watched() -> bool:
    return sys.stdin.isatty()


def _when_stopped(gateway: Gateway, path: str) -> list[Finding]:
    """Ask for Gatepass to be stopped, and check that nobody gets in then."""
    asked = "Does the gateway let anybody in while Gatepass is away? Stop Gatepass, then say y"
    if not typer.confirm(asked, default=False, err=True):
        return []
    found = [outage(gateway, path)]
    typer.echo("Start Gatepass again.", err=True)
    return found


def _print(gateway: Gateway, found: Sequence[Finding], *, json: bool) -> None:
    counts = Counter(each.outcome for each in found)
    if json:
        print_json(
            {
                "gateway": gateway.url,
                "checks": [_as_json(each) for each in found],
                "passed": counts["passed"],
                "failed": counts["failed"],
                "not_checked": counts["not_checked"],
            }
        )
        return
    rows = [(_SHOWN[each.outcome], each.check.title, each.seen) for each in found]
    print_table(("", "Check", "Seen"), rows)
    for check in (each.check for each in found if each.outcome == "failed"):
        typer.echo(f"\n{check.title}\n  {check.fix}\n  {check.link}")
    summary = ", ".join(f"{counts[outcome]} {shown}" for outcome, shown in _SHOWN.items())
    typer.echo(f"gatepass: {gateway.url}: {summary}", err=True)


def _as_json(found: Finding) -> dict[str, object]:
    failed = found.outcome == "failed"
    return {
        "check": found.check.name,
        "title": found.check.title,
        "outcome": found.outcome,
        "seen": found.seen,
        "fix": found.check.fix if failed else None,
        "link": found.check.link,
    }


def _wrong(found: Sequence[Finding], checks: Sequence[Check] = CHECKS) -> bool:
    return any(each.outcome == "failed" and each.check in checks for each in found)


def _why_not(found: Sequence[Finding]) -> Callable[[Check], str]:
    if _wrong(found, (ASKED,)) and len(found) == 1:
        return lambda _: f"needs that {ASKED.title}"
    return lambda check: _TO_CHECK[check.name]


def _path(gateway: Gateway, node: Node) -> str:
    """A path of the API that a GET route of the catalogue matches."""
    paths = [gateway.path] if gateway.path else paths_of(node.catalogue)
    if not paths:
        raise Misconfigured("GATEPASS_CATALOGUE: must have a GET route, with which to check")
    if not isinstance(node.catalogue.routes.match("GET", paths[0]), CatalogueRoute):
        message = f"{paths[0]} must match a GET route of the catalogue"
        raise typer.BadParameter(message, param_hint="--gateway")
    return paths[0]


def _company(node: Node, name: str | None) -> str:
    with node.database.read(node.clock.now()) as reading:
        if name is not None:
            return companies.named(reading, name).id
        page = companies.list_(reading, Actor.command_line(), limit=_COMPANIES_READ)
    active = [company.id for company in page.items if company.status == "active"]
    if len(active) != 1:
        raise typer.BadParameter("must name one of the companies", param_hint="--company")
    return active[0]


def _read(text: str, option: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _listening(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65_535:
        raise ValueError("must be a port, or an address and a port such as 127.0.0.1:9000")
    return host.strip("[]") or "127.0.0.1", int(port)


def _address(text: str) -> str:
    packed = parse_address(text)
    if packed is None:
        raise ValueError("must be an IP address")
    return format_address(packed)
