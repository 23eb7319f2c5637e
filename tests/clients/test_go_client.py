"""clients/go, built without the network."""

import re
import shutil
from pathlib import Path

import pytest

from gatepass.web.api.router import router
from gatepass.web.openapi import openapi_document
from tests.clients.example_programs import guards_its_calls, provisions, started
from tests.clients.programs import ROOT, blocks, run
from tests.support.processes.served_installation import ServedInstallation

pytestmark = [pytest.mark.go, pytest.mark.processes]

CLIENT = ROOT / "clients/go"
#: Nothing is downloaded: neither modules nor another toolchain.
ENVIRON = {"GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
#: Structs: the schemas whose members they have.
SCHEMAS = {
    "AccessToken": "AccessToken",
    "AccessTokenChanges": "AccessTokenChanges",
    "AccessTokenRotation": "AccessTokenRotation",
    "Approval": "Approval",
    "Call": "Call",
    "Caller": "Caller",
    "Company": "ManagedCompany",
    "CreatedVerifierKey": "CreatedVerifierKey",
    "Decision": "Decision",
    "Exception": "TokenException",
    "FieldError": "FieldError",
    "Grant": "VerifiedGrant",
    "LastUsed": "LastUsed",
    "NewAccessToken": "NewOwnedAccessToken",
    "NewOwner": "NamedOwner",
    "NewPortalSession": "NewPortalSession",
    "NewVerifierKey": "NewVerifierKey",
    "Owner": "Owner",
    "OwnerReference": "OwnerReference",
    "PortalSession": "OpenedPortalSession",
    "Rehearsal": "Rehearsal",
    "Rotation": "Rotation",
    "TokenOwner": "OwnerOfToken",
}
FILTERS = {
    "AccessTokenFilters": "/v1/companies/{id}/access-tokens",
    "CompanyFilters": "/v1/companies",
    "OwnerFilters": "/v1/companies/{id}/owners",
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the built examples."""
    if shutil.which("go") is None:
        pytest.fail("needs Go: sh tests/system-tools.sh")
    directory = tmp_path_factory.mktemp("go")
    run(f"go build -o {directory}/ ./examples/...", CLIENT, ENVIRON)
    return directory


def structs() -> dict[str, str]:
    text = "".join(path.read_text() for path in CLIENT.glob("*.go"))
    return dict(re.findall(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S))


def test_the_structs_have_the_members_of_the_api() -> None:
    document = openapi_document(router, "gatepass", "http://127.0.0.1:8787")
    found = structs()
    for name, schema in SCHEMAS.items():
        members = set(document["components"]["schemas"][schema]["properties"])
        if name == "Call":
            fields = re.findall(r"^\t((?:[A-Z]\w+, )*[A-Z]\w+) +\w+$", found[name], re.M)
            assert {each.lower() for each in ", ".join(fields).split(", ")} == members
            continue
        tags = set(re.findall(r'`json:"(\w+)', found[name]))
        assert tags == members, name
    for name, path in FILTERS.items():
        parameters = document["paths"][path]["get"]["parameters"]
        known = {each["name"] for each in parameters if each["in"] == "query"}
        tags = set(re.findall(r'`query:"(\w+)"`', found[name]))
        assert tags == known - {"limit", "cursor"}, name


def test_the_module_needs_the_standard_library_alone() -> None:
    assert run("go list -m all", CLIENT, ENVIRON) == "gatepass/clients/go\n"
    assert not (CLIENT / "go.sum").exists()
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_client_keeps_its_promises(programs: Path) -> None:
    assert run("gofmt -l .", CLIENT, ENVIRON) == ""
    run("go vet ./...", CLIENT, ENVIRON)
    assert "ok" in run("go test -vet=off -count=1 .", CLIENT, ENVIRON)


def test_the_page_compiles_as_the_readme_installs(tmp_path: Path) -> None:
    (install,) = blocks(CLIENT / "README.md", "gomod")
    assert "replace gatepass/clients/go => ../gatepass/clients/go\n" in install
    here = install.replace("../gatepass/clients/go", str(CLIENT))
    (tmp_path / "go.mod").write_text(f"module app\n\ngo 1.19\n\n{here}")
    (page,) = blocks(ROOT / "docs/how-to/use-a-client.md", "go")
    (tmp_path / "main.go").write_text(page + "\nfunc main() {}\n")
    assert run("gofmt -l .", tmp_path, ENVIRON) == ""
    run("go vet .", tmp_path, ENVIRON)


def test_the_service_of_the_example(programs: Path, shared_served: ServedInstallation) -> None:
    guards_its_calls(shared_served, started([programs / "service"], programs, {}))


def test_the_provisioning_example(programs: Path, shared_served: ServedInstallation) -> None:
    provisions(
        shared_served,
        lambda arguments, environ: run(f"{programs}/provision {arguments}", programs, environ),
    )
