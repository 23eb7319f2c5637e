"""ingress-nginx: what controller 1.15 writes for an Ingress, in the system's nginx."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.gateways.gateway import Gateway
from tests.support.needs import require
from tests.support.processes.nginx import PROGRAM, main_configuration

_PREFIX = "nginx.ingress.kubernetes.io/"

#: Around the directives that follow from annotations; in the order of the controller's template.
_CONFIGURATION = """
map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
underscores_in_headers off;
ignore_invalid_headers on;
server {{
    listen {listen};
    location = /_external-auth-Lw-Prefix {{
        internal;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Forwarded-Proto "";
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header Host gatepass.gatepass.svc.cluster.local;
        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
        proxy_set_header X-Original-Method $request_method;
        proxy_set_header X-Sent-From "nginx-ingress-controller";
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Auth-Request-Redirect $request_uri;
        proxy_pass_request_headers on;
        {question}
        proxy_http_version 1.1;
        set $target "{url}";
        proxy_pass $target;
    }}
    location / {{
        {cors}
        auth_request /_external-auth-Lw-Prefix;
        {caller}
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection {connection};
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Scheme $scheme;
        proxy_set_header X-Scheme $scheme;
        proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
        proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
        proxy_set_header Proxy "";
        proxy_http_version 1.1;
        {rewrite}
        proxy_pass http://127.0.0.1:{api};
    }}
    {without_annotations}
}}
"""


def _command(directory: Path) -> list[str]:
    require("nginx")
    ingress, question, *others = yaml.safe_load_all((directory / "ingress.yaml").read_text())
    annotations: dict[str, str] = {
        name.removeprefix(_PREFIX): value
        for name, value in ingress["metadata"]["annotations"].items()
    }
    names = [each.strip() for each in annotations["auth-response-headers"].split(",")]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    api = path["backend"]["service"]["port"]["number"]
    target = annotations.get("rewrite-target")
    http = _CONFIGURATION.format(
        listen=rule["host"],
        url=annotations["auth-url"],
        question="\n".join(
            f'proxy_set_header "{name}" "{value}";' for name, value in question["data"].items()
        ),
        cors="\n".join(_cors(annotations)),
        caller="\n".join(_from_the_answer(names)),
        connection=annotations.get("connection-proxy-header", "$connection_upgrade"),
        api=api,
        rewrite=f'rewrite "(?i){path["path"]}" {target} break;' if target else "",
        without_annotations="\n".join(
            f"location {each} {{ proxy_pass http://127.0.0.1:{api}; }}"
            for each in map(_path, others)
        ),
    )
    configuration = directory / "nginx.conf"
    configuration.write_text(main_configuration(directory, http))
    return [PROGRAM, "-c", str(configuration), "-p", str(directory)]


def _path(ingress: Any) -> str:
    """The only path of an Ingress that has no annotations."""
    assert "annotations" not in ingress["metadata"]
    (rule,) = ingress["spec"]["rules"]
    return str(rule["http"]["paths"][0]["path"])


def _from_the_answer(names: list[str]) -> Iterator[str]:
    for at, name in enumerate(names):
        variable = name.lower().replace("-", "_")
        yield f"auth_request_set $authHeader{at} $upstream_http_{variable};"
        yield f"proxy_set_header '{name}' $authHeader{at};"


def _cors(annotations: Mapping[str, Any]) -> Iterator[str]:
    assert annotations["enable-cors"] == "true"
    # The controller replaces the API's headers of these names; only its own module can.
    hidden = "proxy_hide_header Access-Control-Allow-Origin;"
    headers = "".join(
        f'add_header {name} "{annotations[annotation]}" always;\n'
        for name, annotation in (
            ("Access-Control-Allow-Origin", "cors-allow-origin"),
            ("Access-Control-Allow-Methods", "cors-allow-methods"),
            ("Access-Control-Allow-Headers", "cors-allow-headers"),
            ("Access-Control-Expose-Headers", "cors-expose-headers"),
            ("Access-Control-Max-Age", "cors-max-age"),
        )
    )
    yield f"if ($request_method = 'OPTIONS') {{\n{headers}return 204;\n}}\n{hidden}\n{headers}"


INGRESS_NGINX = Gateway(
    "ingress-nginx",
    {
        "gatepass.gatepass.svc.cluster.local:8788": "127.0.0.1:{verify}",
        "host: api.example.com": "host: 127.0.0.1:{front}",
        "number: 9000": "number: {api}",
    },
    _command,
)
