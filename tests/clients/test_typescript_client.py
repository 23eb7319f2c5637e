"""clients/typescript, packed as it is published, under Node.js."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.clients.example_programs import guards_its_calls, provisions, started
from tests.clients.programs import NODE_MODULES, NODE_TOOLS, ROOT, blocks, run
from tests.clients.typescript_types import TYPES, generate
from tests.support.processes.served_installation import ServedInstallation

pytestmark = pytest.mark.processes

CLIENT = ROOT / "clients/typescript"
MODULES = ("admin", "errors", "index", "options", "schema", "secret", "transport", "verifier")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a customer, with the packed client installed, its tests and examples."""
    directory = tmp_path_factory.mktemp("typescript")
    source, modules = directory / "source", directory / "project/node_modules"
    shutil.copytree(CLIENT, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(NODE_MODULES)
    (packed,) = json.loads(run("npm pack --json --silent", source, {}))
    (directory / "packed.json").write_text(json.dumps(packed))
    (modules / "@gatepass").mkdir(parents=True)
    (modules / "@types").symlink_to(NODE_MODULES / "@types")
    shutil.unpack_archive(source / packed["filename"], modules / "@gatepass")
    (modules / "@gatepass/package").rename(modules / "@gatepass/client")
    for name in ("test", "examples"):
        shutil.copytree(CLIENT / name, directory / "project" / name)
    (directory / "project/package.json").write_text('{"type": "module"}')
    return directory / "project"


def test_the_types_are_those_of_the_api() -> None:
    assert TYPES.read_text() == generate(), "run: python -m tests.clients.typescript_types"


def test_the_package_has_its_files_and_no_dependency(project: Path) -> None:
    packed = json.loads((project.parent / "packed.json").read_text())
    built = {f"dist/{name}.{kind}" for name in MODULES for kind in ("js", "d.ts")}
    assert {each["path"] for each in packed["files"]} == {
        "LICENSE",
        "README.md",
        "package.json",
        *built,
    }
    manifest = json.loads((CLIENT / "package.json").read_text())
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & manifest.keys()
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    pinned = json.loads((ROOT / "tests/tools/package.json").read_text())["devDependencies"]
    assert manifest["devDependencies"].items() <= pinned.items()


def test_the_client_keeps_its_promises(project: Path) -> None:
    printed = run(f"{NODE_TOOLS}/node --test --test-reporter=tap test/*.test.ts", project, {})
    assert "# fail 0" in printed
    ran = re.search(r"^# pass (\d+)$", printed, re.M)
    assert ran
    assert int(ran[1]) >= 12


def test_tests_examples_and_pages_pass_the_strictest_check(project: Path) -> None:
    (project / "pages").mkdir()
    readme = "".join(blocks(CLIENT / "README.md", "ts"))
    (project / "pages/readme.ts").write_text(readme)
    (page,) = blocks(ROOT / "docs/how-to/use-a-client.md", "ts")
    (project / "pages/page.ts").write_text(page)
    options = json.loads((CLIENT / "tsconfig.check.json").read_text())["compilerOptions"]
    strict = json.loads((CLIENT / "tsconfig.json").read_text())["compilerOptions"]
    # With the packed types in place of the sources.
    checked = {**strict, **options, "skipLibCheck": False}
    for name in ("paths", "outDir", "rootDir", "declaration"):
        checked.pop(name, None)
    text = json.dumps({"compilerOptions": checked, "include": ["test", "examples", "pages"]})
    (project / "tsconfig.json").write_text(text)
    run(f"{NODE_TOOLS}/node {NODE_MODULES}/typescript/bin/tsc --project .", project, {})


def test_the_service_of_the_example(project: Path, shared_served: ServedInstallation) -> None:
    guards_its_calls(
        shared_served, started([NODE_TOOLS / "node", "examples/service.ts"], project, {})
    )


def test_the_provisioning_example(project: Path, shared_served: ServedInstallation) -> None:
    provisions(
        shared_served,
        lambda arguments, environ: run(
            f"{NODE_TOOLS}/node examples/provision.ts {arguments}", project, environ
        ),
    )
