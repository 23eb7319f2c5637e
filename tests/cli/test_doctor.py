"""``gatepass doctor``: its report, exit codes, and what it leaves behind."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass.doctor.findings import ALWAYS, BEHIND, CHECKS, ORIGIN, PAGE
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, owner_search
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import Endpoints
from tests.cli.conftest import Gatepass, the_node
from tests.support.apps.installation import CATALOGUE
from tests.support.apps.toy_gateway import ToyGateway, serving
from tests.support.processes.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gateway(
    installed: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ToyGateway]:
    """A gateway that asks the installation, whose calls are counted at once."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    monkeypatch.setenv("GATEPASS_CATALOGUE", str(catalogue))
    monkeypatch.setenv("GATEPASS_TRUSTED_PROXIES", "127.0.0.1")
    monkeypatch.setattr("gatepass.cli.doctor.CALLS", 3)
    done = threading.Event()
    with the_node() as node:
        # As `gatepass serve` does.
        node.file.shared.set_public_url(node.settings.public_url)
        follow_catalogue(node.database, node.catalogue, node.clock.now())

        def count() -> None:
            while not done.wait(0.05):
                node.usage.flush()
                node.fold()

        trusted = TrustedProxies.of(node.settings.trusted_proxies)
        endpoints = Endpoints(node.verifier, trusted, lambda: None)
        counting = threading.Thread(target=count)
        counting.start()
        with serving(ToyGateway(endpoints)) as gateway:
            yield gateway
        done.set()
        counting.join()


def listed(gatepass: Gatepass, *what: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(gatepass(*what, "--json").out)["items"]
    return items


def test_a_gateway_that_is_set_up_well(installed: Gatepass, gateway: ToyGateway) -> None:
    said = installed("doctor", "--gateway", gateway.url)
    assert said.code == 0, said.out + said.err
    for check in CHECKS:
        assert check.title in said.out
    assert said.err.splitlines() == [
        f"gatepass: calling {gateway.url}; this takes some seconds",
        f"gatepass: {gateway.url}: 13 ok, 0 wrong, 6 not checked",
    ]
    assert "--echo PORT" in said.out
    assert "--away" in said.out


def test_a_mistake_has_its_fix(installed: Gatepass, gateway: ToyGateway) -> None:
    gateway.mistakes = {"loses Origin"}
    said = installed("doctor", "--gateway", gateway.url)
    assert said.code == 1
    (line,) = [each for each in said.out.splitlines() if each.startswith("wrong")]
    assert line.split(maxsplit=1)[1].split("  ")[0] == "Origin and Referer arrive"
    assert line.rstrip().endswith("Origin didn't arrive")
    assert said.out.splitlines()[-3:] == [
        ORIGIN.title,
        f"  {ORIGIN.fix}",
        f"  {PAGE}#origin-and-referer-arrive",
    ]


def test_json(installed: Gatepass, gateway: ToyGateway) -> None:
    gateway.mistakes = {"loses Origin"}
    said = installed("doctor", "--gateway", gateway.url, "--json")
    assert (said.code, said.err) == (1, "")
    report = json.loads(said.out)
    assert list(report) == ["gateway", "checks", "passed", "failed", "not_checked"]
    assert report["gateway"] == gateway.url
    assert (report["passed"], report["failed"], report["not_checked"]) == (12, 1, 6)
    assert [each["check"] for each in report["checks"]] == [check.name for check in CHECKS]
    assert all(
        list(each) == ["check", "title", "outcome", "seen", "fix", "link"]
        for each in report["checks"]
    )
    (wrong,) = [each for each in report["checks"] if each["outcome"] == "failed"]
    assert wrong["check"] == "origin"
    assert wrong["fix"]


def test_in_the_apis_place(installed: Gatepass, gateway: ToyGateway) -> None:
    gateway.api_port = free_port()
    gateway.mistakes = {"keeps forged headers"}
    said = installed("doctor", "--gateway", gateway.url, "--echo", str(gateway.api_port), "--json")
    outcomes = {each["check"]: each["outcome"] for each in json.loads(said.out)["checks"]}
    assert outcomes.pop("identity") == "failed"
    assert outcomes.pop("outage") == "not_checked"
    assert set(outcomes.values()) == {"passed"}


def test_an_api_that_isnt_the_doctor(installed: Gatepass, gateway: ToyGateway) -> None:
    said = installed("doctor", "--gateway", gateway.url, "--echo", str(free_port()), "--json")
    found = {each["check"]: each for each in json.loads(said.out)["checks"]}
    assert said.code == 0
    for check in BEHIND:
        assert found[check.name]["outcome"] == "not_checked"
        assert "let the gateway forward to it" in found[check.name]["seen"]


@pytest.mark.parametrize("mistake", ["", "loses Authorization"])
def test_it_leaves_nothing_active_and_shows_no_text(
    installed: Gatepass, gateway: ToyGateway, mistake: str
) -> None:
    gateway.mistakes = {mistake}
    gateway.api_port = free_port()
    echo = ("--echo", str(gateway.api_port))
    said = installed("doctor", "--gateway", gateway.url, *echo)
    tokens = listed(installed, "token", "list")
    assert len(tokens) == (1 if mistake else 2)
    for token in tokens:
        assert token["status"] == "deactivated"
        assert "gpat_" not in said.out + said.err
        assert token["owner"]["name"] == "Gatepass doctor"
    with the_node() as node, node.database.read(node.clock.now()) as reading:
        (company,) = companies.list_(reading, Actor.command_line()).items
        (account,) = owner_search.list_(reading, Actor.command_line(), company=company.id).items
    assert account.status == "deactivated"


def test_at_a_terminal_it_asks_for_gatepass_to_be_stopped(
    installed: Gatepass, gateway: ToyGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepass.cli.doctor._is_watched", lambda: True)
    said = installed("doctor", "--gateway", gateway.url, stdin="n\n")
    assert "Stop Gatepass, then say y [y/N]:" in said.err
    assert "13 ok, 0 wrong, 6 not checked" in said.err
    monkeypatch.setattr("gatepass.cli.doctor.typer.confirm", stopped(gateway))
    said = installed("doctor", "--gateway", gateway.url)
    assert "14 ok, 0 wrong, 5 not checked" in said.err
    assert "Start Gatepass again." in said.err


def stopped(gateway: ToyGateway) -> Callable[..., bool]:
    """Stops Gatepass when it is asked to."""

    def confirm(*_: object, **__: object) -> bool:
        gateway.away = True
        return True

    return confirm


def interrupted() -> None:
    raise KeyboardInterrupt


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def hung_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def broken() -> None:
    raise OSError(5, "broken")


@pytest.mark.parametrize("end", [interrupted, terminated, hung_up, broken])
def test_an_interrupted_examination_leaves_nothing_active(
    installed: Gatepass,
    gateway: ToyGateway,
    end: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gatepass.doctor.examination.added_time", lambda *_: end())
    said = installed("doctor", "--gateway", gateway.url)
    assert said.code == 1
    assert said.out == ""
    (token,) = listed(installed, "token", "list")
    assert token["status"] == "deactivated"


def test_while_gatepass_is_away(installed: Gatepass, gateway: ToyGateway) -> None:
    gateway.away = True
    said = installed("doctor", "--gateway", gateway.url, "--away", "--json")
    assert said.code == 0
    (check,) = json.loads(said.out)["checks"]
    assert (check["check"], check["outcome"]) == ("outage", "passed")
    assert listed(installed, "token", "list") == []
    gateway.mistakes = {"fails open"}
    assert installed("doctor", "--gateway", gateway.url, "--away").code == 1
    gateway.away = False
    said = installed("doctor", "--gateway", gateway.url, "--away")
    assert (said.code, "still answers" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gateway", "api.example.com"], "must be a URL"),
        (["--gateway", "https://api.example.com/v1/x?y"], "must have no query"),
        (["--gateway", "http://127.0.0.1:9/v1/nothing"], "must match a GET route"),
        (["--gateway", "http://127.0.0.1:9", "--echo", "0"], "must be a port"),
        (["--gateway", "http://127.0.0.1:9", "--address", "here"], "must be an IP address"),
        (["--gateway", "http://127.0.0.1:9", "--away", "--echo", "9000"], "must not be combined"),
    ],
)
def test_wrong_usage(
    installed: Gatepass, gateway: ToyGateway, arguments: list[str], message: str
) -> None:
    said = installed("doctor", *arguments)
    assert said.code == 2
    assert message in " ".join(said.err.replace("│", " ").split())


def test_a_company_must_be_named_if_there_are_several(
    installed: Gatepass, gateway: ToyGateway
) -> None:
    installed(
        *("init", "--company", "Globex", "--email", "g@globex.example", "--password-stdin"),
        stdin="correct horse battery staple",
    )
    assert installed("doctor", "--gateway", gateway.url).code == 2
    said = installed("doctor", "--gateway", gateway.url, "--company", "Globex")
    assert said.code == 0
    said = installed("doctor", "--gateway", gateway.url, "--company", "Initech")
    assert (said.code, said.err) == (1, "gatepass: There is no company named 'Initech'.\n")


def test_a_gateway_that_isnt_there(installed: Gatepass, gateway: ToyGateway) -> None:
    port = free_port()
    said = installed("doctor", "--gateway", f"http://127.0.0.1:{port}")
    assert said.code == 1
    assert said.err.endswith(f"gatepass: http://127.0.0.1:{port}: Connection refused\n")


def test_without_a_route_there_is_nothing_to_check_with(installed: Gatepass) -> None:
    said = installed("doctor", "--gateway", "http://127.0.0.1:9")
    assert said.code == 1
    assert "GATEPASS_CATALOGUE: must have a GET route" in said.err


def test_every_check_has_its_section() -> None:
    page = (ROOT / PAGE).read_text()
    for check in CHECKS:
        assert f"\n### {check.title}\n" in page
        assert f"`{check.name}`" in page
        assert check.fix in page
    assert set(CHECKS) >= {*ALWAYS, *BEHIND}
