"""Kong: the Lua of its page in the system's nginx, with stand-ins for Kong's own part."""

from pathlib import Path

import yaml

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.lua_nginx import Location, command

#: As in Kong's own template.
_LOCATION = """
set $upstream_uri '';
set $upstream_upgrade '';
set $upstream_connection '';
set $upstream_x_forwarded_for '';
set $upstream_x_forwarded_path '';
proxy_set_header Host $proxy_host;
proxy_set_header Upgrade $upstream_upgrade;
proxy_set_header Connection $upstream_connection;
proxy_set_header X-Forwarded-For $upstream_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $host;
proxy_set_header X-Forwarded-Port $server_port;
proxy_set_header X-Forwarded-Path $upstream_x_forwarded_path;
proxy_set_header X-Forwarded-Prefix '';
proxy_set_header X-Real-IP $remote_addr;
proxy_pass {url}$upstream_uri;
"""


def _command(directory: Path) -> list[str]:
    settings = dict(
        line.split(" = ")
        for line in (directory / "kong.conf").read_text().splitlines()
        if not line.startswith("#")
    )
    assert settings["untrusted_lua_sandbox_requires"] == "resty.http"
    (service,) = yaml.safe_load((directory / "kong.yml").read_text())["services"]
    (route,) = service["routes"]
    assert (route["paths"], route["strip_path"]) == (["/"], False)
    cors, lua = service["plugins"]
    assert (cors["name"], lua["name"]) == ("cors", "post-function")
    assert cors["config"]["origins"] == ["*"]
    (code,) = lua["config"]["access"]
    (directory / "post-function.lua").write_text(code)
    arguments = ({"cors": cors["config"]}, str(directory))
    return command(
        directory,
        "kong_stand_in",
        [Location("/", arguments, _LOCATION.format(url=service["url"]))],
        listen=settings["proxy_listen"],
        http="underscores_in_headers on;",
    )


KONG = Gateway(
    "kong",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "127.0.0.1:8000": "127.0.0.1:{front}",
    },
    _command,
)
