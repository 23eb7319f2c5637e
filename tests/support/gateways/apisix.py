"""APISIX: what it does by its page's configuration, in the system's nginx, with a stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.lua_nginx import Location, command

#: As in APISIX's own template, without WebSockets.
_LOCATION = """
set $upstream_uri '';
proxy_set_header Host $http_host;
proxy_set_header Upgrade '';
proxy_set_header Connection '';
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $host;
proxy_set_header X-Forwarded-Port $server_port;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header Forwarded '';
proxy_pass http://{api}$upstream_uri;
"""


def _command(directory: Path) -> list[str]:
    configuration = yaml.safe_load((directory / "config.yaml").read_text())
    port = configuration["apisix"]["node_listen"]
    http = configuration["nginx_config"]["http"]
    routes = yaml.safe_load((directory / "apisix.yaml").read_text())["routes"]
    return command(
        directory,
        "apisix_stand_in",
        [_location(**route) for route in routes],
        listen=f"127.0.0.1:{port}",
        http="".join(_directives(http)),
    )


def _directives(http: dict[str, Any]) -> Iterator[str]:
    for trusted in http.pop("real_ip_from", []):
        yield f"set_real_ip_from {trusted};\n"
    for name, value in http.items():
        yield f"{name} {value};\n"


def _location(uri: str, upstream: Any, plugins: dict[str, Any]) -> Location:
    assert plugins.keys() <= {"cors", "forward-auth", "proxy-rewrite"}
    (api,) = upstream["nodes"]
    return Location(uri.removesuffix("*"), (plugins,), _LOCATION.format(api=api))


APISIX = Gateway(
    "apisix",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "node_listen: 9080": "node_listen: {front}",
    },
    _command,
)
