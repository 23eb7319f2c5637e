"""Adds the dashboard's static files to the wheel as they are sent, too: minified and compressed."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_STATIC = "gatepass/web/pages/static"
_ALSO = "gatepass/registry/authentication/common-passwords.txt"
_KINDS = (".css", ".js", ".svg")


class CompressedStaticFiles(BuildHookInterface[Any]):
    """Compresses what ``web.pages.layout.static_files`` serves."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the compressed files, and name them to the builder."""
        self._made = Path(tempfile.mkdtemp())
        if version == "editable":
            return
        source = Path(self.root) / "src"
        compression, static_sources = (
            _module(source / f"gatepass/web/{name}.py")
            for name in ("compression", "static_sources")
        )
        found = [each for each in (source / _STATIC).iterdir() if each.suffix in _KINDS]
        paths = {each.name: each for each in (*found, source / _ALSO)}
        contents = {name: path.read_bytes() for name, path in paths.items()}
        for name, content in static_sources.served(contents).items():
            made = self._made / f"{name}.gz"
            made.write_bytes(compression.gzipped(content, level=compression.BEST))
            packed = paths[name].relative_to(source).with_name(made.name)
            build_data["force_include"][str(made)] = str(packed)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the files again."""
        shutil.rmtree(self._made)


def _module(path: Path) -> ModuleType:
    # The package itself can't be imported: a build has none of its dependencies.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
