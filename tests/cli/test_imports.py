"""A command imports only what it runs with: imports are most of the time that it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from gatepass.cli import tree

pytestmark = pytest.mark.slow

PROGRAM = "import sys; from gatepass.cli import main; main(); print(*sys.modules, file=sys.stderr)"
WEB = {"fastapi", "starlette", "jinja2", "uvloop", "httptools"}
DATABASE = {"sqlalchemy", "psycopg", "cryptography", "argon2"}


def imported(*arguments: str) -> set[str]:
    """The modules that a process has imported after a command."""
    return modules("-c", PROGRAM, *arguments)


def modules(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_list_of_commands_needs_no_module_of_theirs(option: str) -> None:
    found = imported(option)
    assert found & (WEB | DATABASE | {"rich"}) == set()
    assert {name for name in found if name.startswith("gatepass.cli.")} == {"gatepass.cli.tree"}


def test_a_check_of_a_catalogue_needs_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text("permissions: {}\n")
    found = imported("catalogue", "check", str(tmp_path / "catalogue.yaml"))
    assert "yaml" in found
    assert found & (WEB | DATABASE) == set()


def test_a_scan_for_credentials_needs_no_installation(tmp_path: Path) -> None:
    found = imported("scan", str(tmp_path))
    assert "gatepass.scan.matching" in found
    assert found & (WEB | DATABASE | {"rich", "ssl"}) == set()


@pytest.mark.usefixtures("installed")
def test_a_command_needs_no_web_framework_and_on_sqlite_no_driver_of_another() -> None:
    found = imported("token", "list", "--json")
    assert "sqlalchemy" in found
    assert found & (WEB | {"psycopg", "smtplib"}) == set()


def test_the_web_application_imports_the_http_client_of_oidc_only_with_a_provider() -> None:
    found = modules("-c", "import sys, gatepass.web.app; print(*sys.modules, file=sys.stderr)")
    assert "fastapi" in found
    assert found & {"httpx", "joserfc", "opentelemetry.sdk"} == set()


def test_an_application_that_embeds_needs_nothing_of_the_server() -> None:
    found = modules("-c", "import sys, gatepass; print(*sys.modules, file=sys.stderr)")
    assert "gatepass.verify.verifier" in found
    assert found & (WEB | DATABASE | {"pydantic", "rich", "typer"}) == set()


def test_the_list_has_every_command_of_its_modules() -> None:
    for name in tree.COMMANDS:
        tree.load(name)
    groups = {one.name for one in tree.app.registered_groups}
    commands = {one.name or one.callback.__name__ for one in tree.app.registered_commands}
    assert groups | commands == set(tree.COMMANDS)


def test_the_supervisor_needs_no_web_framework_and_no_database() -> None:
    """It lives as long as the node."""
    program = "import sys, gatepass.web.server.supervisor; print(*sys.modules, file=sys.stderr)"
    found = modules("-c", program)
    assert found & (DATABASE | {"fastapi", "pydantic", "jinja2", "opentelemetry"}) == set()
