"""The system's nginx with its Lua module, for gateways that are made of both.

No registry has Kong or APISIX. What they do themselves stands in ``lua/``, written from their
source, each as much as its page's configuration uses.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.needs import require
from tests.support.processes.nginx import PROGRAM, main_configuration

_LUA = Path(__file__).parent / "lua"
_MODULES = Path("/usr/lib/nginx/modules")

_CONFIGURATION = """
lua_package_path "{lua}/?.lua;;";
{http}
server {{
    listen {listen};
    {locations}
}}
"""
_LOCATION = """
location {path} {{
    {directives}
    access_by_lua_block {{ require("{stand_in}").access({arguments}) }}
    header_filter_by_lua_block {{ require("{stand_in}").header_filter({arguments}) }}
    proxy_http_version 1.1;
}}
"""


@dataclass(frozen=True)
class Location:
    """What happens to requests below a path.

    Attributes:
        arguments: of the stand-in's functions.
        directives: of nginx.
    """

    path: str
    arguments: tuple[Any, ...]
    directives: str


def command(
    directory: Path, stand_in: str, locations: list[Location], *, listen: str, http: str
) -> list[str]:
    """The command of an nginx that answers requests by a module of ``lua/``.

    Args:
        directory: for its files.
        stand_in: the module.
        listen: an address.
        http: directives of the ``http`` block.
    """
    require("nginx")
    modules = "".join(
        f"load_module {_MODULES}/{name}.so;\n"
        for name in ("ndk_http_module", "ngx_http_lua_module")
    )
    text = _CONFIGURATION.format(
        lua=_LUA,
        http=http,
        listen=listen,
        locations="".join(
            _LOCATION.format(
                path=each.path,
                directives=each.directives,
                stand_in=stand_in,
                arguments=", ".join(map(_as_lua, each.arguments)),
            )
            for each in locations
        ),
    )
    written = directory / "nginx.conf"
    written.write_text(modules + main_configuration(directory, text))
    return [PROGRAM, "-c", str(written), "-p", str(directory)]


def _as_lua(value: Any) -> str:
    if isinstance(value, dict):
        members = ", ".join(f"[{_as_lua(name)}] = {_as_lua(of)}" for name, of in value.items())
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"{{{', '.join(map(_as_lua, value))}}}"
    text = json.dumps(value)
    assert not re.search(r"\\[^\"\\]", text), f"not the same in Lua: {text}"
    return text
