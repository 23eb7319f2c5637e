"""The doctor at real gateways: their pages' configurations pass, and planted mistakes are found."""

import socketserver
import threading
from collections.abc import Iterator

import pytest

from gatepass.doctor.echo import Echo
from gatepass.doctor.outage import outage
from gatepass.doctor.wire import Gateway
from tests.doctor.conftest import Doctor, failed
from tests.support.gateways.every import GATEWAYS
from tests.support.processes.ports import free_port

pytestmark = [pytest.mark.nginx, pytest.mark.processes]

PATH = "/v1/charges/gatepass-doctor"


#: A route of Envoy that nobody decides.
_UNDECIDED = {
    '              - match: {prefix: "/"}\n': (
        '              - match: {prefix: "/v1/refunds"}\n'
        "                route: {cluster: api}\n"
        "                typed_per_filter_config:\n"
        "                  envoy.filters.http.ext_authz:\n"
        '                    "@type": type.googleapis.com/envoy.extensions.filters.'
        "http.ext_authz.v3.ExtAuthzPerRoute\n"
        "                    disabled: true\n"
        '              - match: {prefix: "/"}\n'
    )
}
#: Mistakes by gateway: each check, and the changes of the page's text that it must find.
MISWIRED: dict[str, dict[str, dict[str, str]]] = {
    "nginx": {
        "forwarded_addresses": {
            "X-Forwarded-For $remote_addr;\n        proxy_set_header X-Forwarded-Host": (
                "X-Forwarded-For $caller;\n        proxy_set_header X-Forwarded-Host"
            ),
            "upstream gatepass_verify {": (
                "map $http_x_real_ip $caller {\n    default $http_x_real_ip;\n"
                "    '' $remote_addr;\n}\n"
                "map $http_x_original_uri $asked {\n    default $http_x_original_uri;\n"
                "    '' $request_uri;\n}\nupstream gatepass_verify {"
            ),
        },
        "sources": {"X-Original-URI $request_uri;": "X-Original-URI $asked;"},
        "origin": {"proxy_set_header Origin $http_origin;": ""},
        "credentials": {"proxy_set_header X-Access-Token $http_x_access_token;": ""},
        "methods": {"X-Original-Method $request_method;": "X-Original-Method GET;"},
        "asked": {
            "    location / {\n": (
                "    location /v1/refunds/ {\n        auth_request off;\n"
                "        proxy_pass http://api;\n    }\n    location / {\n"
            )
        },
        "refusals": {"add_header X-Gatepass-Reason $gatepass_reason always;": ""},
        "caching": {
            "map $http_upgrade $gatepass_upgrade {": (
                "proxy_cache_path kept keys_zone=kept:1m;\nmap $http_upgrade $gatepass_upgrade {"
            ),
            "proxy_pass_request_body off;": (
                "proxy_pass_request_body off;\n        proxy_cache kept;\n"
                "        proxy_cache_key $request_uri$http_authorization;\n"
                "        proxy_cache_valid any 60s;\n        proxy_ignore_headers Cache-Control;"
            ),
        },
        "identity": {
            'proxy_set_header X_Gatepass_User "";': "",
            "listen 127.0.0.1:8080;": "listen 127.0.0.1:8080;\n    underscores_in_headers on;",
        },
        "secrets": {'proxy_set_header Authorization "";': ""},
        "overrides": {'proxy_set_header X-HTTP-Method-Override "";': ""},
        "same_call": {"proxy_pass http://api;\n": "proxy_pass http://api/v0/;\n"},
    },
    "nginx: also serves Gatepass": {
        "endpoints": {
            "    location @undecided {": (
                "    location /authz/nginx {\n        auth_request off;\n"
                "        proxy_set_header Host $host;\n"
                "        proxy_pass http://gatepass_verify;\n    }\n"
                "    location @undecided {"
            )
        }
    },
    "ingress-nginx": {
        "forwarded_addresses": {
            "data:\n": "data:\n  X-Forwarded-For: $http_x_real_ip\n",
        },
        "credentials": {},
        "asked": {
            "  X-Forwarded-Host: $http_host\n": (
                "  X-Access-Token: ''\n---\n"
                "metadata: {name: open, namespace: api}\n"
                "spec: {rules: [{http: {paths: [{path: /v1/refunds}]}}]}\n"
            )
        },
        # Its page says so itself.
        "refusals": {},
        "identity": {"X-Gatepass-User, X-Gatepass-Owner,": "X-Gatepass-User,"},
        "secrets": {"X-Gatepass-Help, Authorization, ": "X-Gatepass-Help, "},
        "overrides": {"      X-HTTP-Method-Override, ": "      "},
        "same_call": {
            "auth-proxy-set-headers:": (
                "rewrite-target: /v0/\n    nginx.ingress.kubernetes.io/auth-proxy-set-headers:"
            )
        },
    },
    "ingress-nginx: the question of another": {
        "methods": {"/authz/ingress-nginx": "/authz/nginx"},
        "paths": {},
        "refusals": {},
    },
    "caddy": {
        "origin": {"copy_headers": "header_up -Origin\n\t\t\tcopy_headers"},
        "credentials": {"uri /authz": "header_up -X-Access-Token\n\t\t\turi /authz"},
        "methods": {"transport http": "header_up X-Forwarded-Method GET\n\t\t\ttransport http"},
        "asked": {
            "\troute {": (
                "\thandle /v1/refunds/* {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n\troute {"
            )
        },
        "refusals": {"\t\t\tdefer": "\t\t\t-WWW-Authenticate\n\t\t\tdefer"},
        "caching": {"\t\theader {\n": "\t\theader {\n\t\t\tCache-Control max-age=60\n"},
        "identity": {
            "request_header -X-Gatepass*": "",
            "X-Gatepass-User X-Gatepass-Owner": "X-Gatepass-User",
        },
        "secrets": {"header_up -Authorization": ""},
        "overrides": {"header_up -X-HTTP-Method*": ""},
        "same_call": {
            "reverse_proxy 127.0.0.1:9000 {": (
                "rewrite * /v0{uri}\n\t\treverse_proxy 127.0.0.1:9000 {"
            )
        },
    },
    "traefik": {
        "sources": {
            '{address: ":8080"}': '{address: ":8080", forwardedHeaders: {insecure: true}}',
            "authRequestHeaders:": "trustForwardHeader: true\n        authRequestHeaders:",
        },
        "origin": {"X-Access-Token, Origin, Referer, Sec-Fetch-Site]": "Sec-Fetch-Site]"},
        "credentials": {},
        "asked": {
            "  middlewares:\n    gatepass-cors:": (
                "    open: {rule: PathPrefix(`/v1/refunds`), priority: 1000, service: api}\n"
                "  middlewares:\n    gatepass-cors:"
            )
        },
        "identity": {"(?i)^x-gatepass-|[^a-z0-9-]": "(?i)^x-gatepass-"},
        "secrets": {'          Authorization: ""\n': ""},
        "overrides": {'          X-HTTP-Method-Override: ""\n': ""},
        "same_call": {
            "gatepass-strip]": "gatepass-strip, shorter]",
            "    gatepass-strip:\n": (
                "    shorter: {stripPrefix: {prefixes: [/v1]}}\n    gatepass-strip:\n"
            ),
        },
    },
    "envoy": {
        "forwarded_addresses": {"rewrite-url|forwarded-|": "rewrite-url|"},
        "address": {"use_remote_address: true": "use_remote_address: false"},
        "origin": {"                - {exact: origin}\n": ""},
        "credentials": {"                - {exact: x-access-token}\n": ""},
        "asked": _UNDECIDED,
        "refusals": {
            "{prefix: x-gatepass-}\n                    - {exact: www-": (
                "{exact: x-gatepass-help}\n                    - {exact: www-"
            )
        },
    },
    "envoy: behind it": {
        "identity": {"|.*[^a-z0-9:-].*": "|.*[^a-z0-9:_-].*"},
        "secrets": {"remove: [authorization, ": "remove: ["},
        "overrides": {"x-(http-method|": "x-("},
        "same_call": {"route: {cluster: api}": 'route: {cluster: api, prefix_rewrite: "/v0/"}'},
    },
    "envoy, Over gRPC": {
        "forwarded_addresses": {"rewrite-url|forwarded-|": "rewrite-url|"},
        "address": {"use_remote_address: true": "use_remote_address: false"},
        "origin": {
            "failure_mode_allow: false": (
                "failure_mode_allow: false\n              disallowed_headers: "
                "{patterns: [{exact: origin}, {exact: x-access-token}]}"
            )
        },
        "credentials": {},
        "asked": _UNDECIDED,
        "refusals": {
            "stat_prefix: api\n": (
                "stat_prefix: api\n"
                "          local_reply_config:\n"
                "            mappers:\n"
                "            - filter: {response_flag_filter: {flags: [UAEX]}}\n"
                "              status_code: 403\n"
                "              headers_to_add:\n"
                "              - append_action: OVERWRITE_IF_EXISTS_OR_ADD\n"
                "                header: {key: cache-control, value: max-age=60}\n"
            )
        },
        "caching": {},
    },
    "envoy, Over gRPC: behind it": {
        # Gatepass names for removal only what it sees.
        "identity": {
            "|.*[^a-z0-9:-].*": "|.*[^a-z0-9:_-].*",
            "failure_mode_allow: false": (
                "failure_mode_allow: false\n              disallowed_headers: "
                "{patterns: [{prefix: x_gatepass}]}"
            ),
        },
        "secrets": {
            "              mutations:\n": (
                "              mutations:\n              - append: "
                '{header: {key: x-client, value: "%REQ(authorization)%"}}\n'
            )
        },
        "overrides": {"x-(http-method|": "x-("},
        "same_call": {"route: {cluster: api}": 'route: {cluster: api, prefix_rewrite: "/v0/"}'},
    },
    "haproxy": {
        "forwarded_addresses": {
            '["x-forwarded-for"] = {txn.f:src()}': (
                '["x-forwarded-for"] = {txn.f:req_hdr("x-real-ip") or txn.f:src()}'
            )
        },
        "origin": {'"authorization", "x-access-token", "origin",': '"authorization",'},
        "credentials": {},
        "methods": {"{txn.f:method()}": '{"GET"}'},
        "asked": {
            "http-request lua.gatepass\n": (
                "http-request lua.gatepass unless { path_beg /v1/refunds }\n"
            ),
            "{ var(txn.gatepass_allowed) -m bool }": (
                "{ var(txn.gatepass_allowed) -m bool } || { path_beg /v1/refunds }"
            ),
        },
        "refusals": {'"cache-control", "www-authenticate", ': ""},
        "caching": {
            "    default_backend api\n": (
                '    http-after-response set-header Cache-Control "max-age=60"\n'
                "    default_backend api\n"
            )
        },
        "identity": {"http-request del-header ^x[^a-z0-9]gatepass -m reg\n": ""},
        "secrets": {"http-request del-header authorization\n": ""},
        "overrides": {"^x-(http-method|": "^x-("},
        "same_call": {
            "    server api": "    http-request set-path /v0%[path]\n    server api",
        },
    },
    "apache": {
        "forwarded_addresses": {
            "= r.useragent_ip": '= received["X-Real-IP"] or r.useragent_ip',
        },
        "origin": {
            '"Authorization", "X-Access-Token", "Origin", "Referer",': '"Authorization",',
        },
        "credentials": {},
        "methods": {'["X-Original-Method"] = r.method': '["X-Original-Method"] = "GET"'},
        "asked": {
            "function decide(r)\n": (
                "function decide(r)\n"
                '    if r.uri:find("^/v1/refunds") then return apache2.DECLINED end\n'
            )
        },
        "refusals": {'"Cache-Control", "WWW-Authenticate", ': ""},
        "caching": {
            "    r.status = status\n": (
                '    r.err_headers_out["Cache-Control"] = "max-age=60"\n    r.status = status\n'
            )
        },
        "identity": {'if name:find("[^%w-]") or': 'if name:find("[^%w-._]") or'},
        "secrets": {"    RequestHeader unset Authorization\n": ""},
        "overrides": {"    RequestHeader unset X-HTTP-Method-Override\n": ""},
        "same_call": {
            "ProxyPass / http://127.0.0.1:9000/ ": "ProxyPass / http://127.0.0.1:9000/v0/ "
        },
    },
    "kong": {
        "forwarded_addresses": {
            '["x-forwarded-for"] = kong': '["x-forwarded-for"] = headers["x-real-ip"] or kong',
        },
        "sources": {
            '["x-original-uri"] = ngx': '["x-original-uri"] = headers["x-original-uri"] or ngx',
        },
        "origin": {'"x-access-token", "origin", "referer",': ""},
        "credentials": {},
        "methods": {
            '["x-original-method"] = kong.request.get_method()': '["x-original-method"] = "GET"',
        },
        "asked": {
            "local headers, too_many": (
                'if ngx.var.upstream_uri:find("^/v1/refunds") then return end\n'
                "        local headers, too_many"
            ),
        },
        "refusals": {'"www-authenticate", "x-gatepass-reason",': ""},
        "caching": {
            "return kong.response.exit(answer.status,": (
                'shown["cache-control"] = "max-age=60"\n'
                "          return kong.response.exit(answer.status,"
            ),
        },
        "identity": {'name:find("[^%w-]")': 'name:find("[^%w-_]")'},
        "secrets": {'"authorization", "x-access-token", "connection",': '"connection",'},
        "overrides": {'"x-http-method", "x-method-override",': ""},
        "same_call": {
            "        local offered =": (
                '        ngx.var.upstream_uri = "/v0" .. ngx.var.upstream_uri\n'
                "        local offered ="
            ),
        },
    },
    "kong: decides another path": {
        "same_call": {
            '["x-original-uri"] = ngx.var.upstream_uri': '["x-original-uri"] = ngx.var.uri'
        },
    },
    "apisix": {
        "forwarded_addresses": {
            "nginx_config:\n  http:\n": (
                "nginx_config:\n  http:\n    real_ip_header: X-Real-IP\n"
                "    real_ip_from: [0.0.0.0/0]\n"
            ),
        },
        "methods": {
            "X-Forwarded-Uri: $real_request_uri}": (
                "X-Forwarded-Uri: $real_request_uri, X-Forwarded-Method: GET}"
            ),
        },
        "origin": {"X-Access-Token, Origin, Referer, Sec-Fetch-Site]": "Sec-Fetch-Site]"},
        "credentials": {},
        "asked": {
            "- uri: /*\n": (
                "- uri: /v1/refunds/*\n"
                '  upstream: {type: roundrobin, nodes: {"127.0.0.1:9000": 1}}\n'
                "  plugins: {}\n"
                "- uri: /*\n"
            ),
        },
        "refusals": {"WWW-Authenticate, X-Gatepass-Reason, ": ""},
        "identity": {
            "      - X-Gatepass-Owner\n": "",
            'underscores_in_headers: "off"': 'underscores_in_headers: "on"',
        },
        "secrets": {"      - Authorization\n": ""},
        "overrides": {"      - X-HTTP-Method-Override\n": ""},
        "same_call": {"  plugins:\n": "  plugins:\n    proxy-rewrite: {uri: /v0/v1/charges}\n"},
    },
    "apisix: decides another path": {
        "same_call": {"{X-Forwarded-Uri: $real_request_uri}": "{X-Forwarded-Proto: https}"},
    },
}
#: Changes by which a gateway lets everybody in while Gatepass is away; Traefik has no such switch.
OPEN: dict[str, dict[str, str]] = {
    "nginx": {
        "error_page 500 = @undecided;": "error_page 500 = @open;",
        "    location @undecided {": (
            "    location @open {\n        auth_request off;\n        proxy_pass http://api;\n"
            "    }\n    location @undecided {"
        ),
    },
    "caddy": {
        "\troute {": "\thandle_errors 502 {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n\troute {"
    },
    "envoy": {"failure_mode_allow: false": "failure_mode_allow: true"},
    "envoy, Over gRPC": {"failure_mode_allow: false": "failure_mode_allow: true"},
    "haproxy": {
        "    http-request return status 503 unless { var(txn.gatepass_allowed) -m bool }\n": ""
    },
    "apache": {"        return 503\n": "        return apache2.DECLINED\n"},
    "kong": {"return kong.response.exit(503)": "return"},
    "apisix": {"allow_degradation: false": "allow_degradation: true"},
}


@pytest.fixture
def ports() -> dict[str, int]:
    return {"main": free_port(), "dashboard": free_port()}


@pytest.fixture(scope="module")
def away() -> Iterator[dict[str, int]]:
    """A port that closes each connection at once: some gateways try a closed port for seconds."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port = int(server.server_address[1])
        yield {"verify": port, "grpc": port}
        server.shutdown()


#: What pages say themselves: without a snippet, ingress-nginx passes no reason on.
SAID: dict[str, set[str]] = {"ingress-nginx": {"refusals"}}


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_configuration_of_its_page_passes(
    doctor: Doctor, asked: dict[str, int], echo: Echo, ports: dict[str, int], name: str
) -> None:
    with GATEWAYS[name].running(api=echo.port, **asked, **ports) as url:
        found = doctor.examine(url, echo)
    assert set(failed(found)) == SAID.get(name, set()), failed(found)
    assert {each.outcome for each in found.values()} <= {"passed", "failed"}


@pytest.mark.parametrize("name", MISWIRED)
def test_each_planted_mistake_is_found(
    doctor: Doctor, asked: dict[str, int], echo: Echo, ports: dict[str, int], name: str
) -> None:
    changed = {text: new for each in MISWIRED[name].values() for text, new in each.items()}
    gateway = GATEWAYS[name.partition(":")[0]]
    running = gateway.running(api=echo.port, changed=changed, **asked, **ports)
    with running as url:
        found = doctor.examine(url, echo)
    assert set(failed(found)) == set(MISWIRED[name]), failed(found)


def test_a_gateway_that_passes_nothing_to_find_a_call_by_is_named(
    doctor: Doctor, asked: dict[str, int], ports: dict[str, int]
) -> None:
    changed = {"  X-Forwarded-Host: $http_host\n": "  Origin: ''\n"}
    running = GATEWAYS["ingress-nginx"].running(api=1, changed=changed, **asked, **ports)
    with running as url:
        found = doctor.examine(url)
    assert failed(found)["asked"].endswith("or neither Origin nor X-Gatepass-Help gets through")


@pytest.mark.parametrize("name", GATEWAYS)
def test_nobody_gets_in_while_gatepass_is_away(
    echo: Echo, ports: dict[str, int], away: dict[str, int], name: str
) -> None:
    with GATEWAYS[name].running(api=echo.port, **away, **ports) as url:
        found = outage(Gateway.at(url), PATH)
    assert found.outcome == "passed", found.seen


@pytest.mark.parametrize("name", OPEN)
def test_a_gateway_that_fails_open_is_found(
    echo: Echo, ports: dict[str, int], away: dict[str, int], name: str
) -> None:
    gateway = GATEWAYS[name]
    changed = OPEN[name]
    running = gateway.running(api=echo.port, changed=changed, **away, **ports)
    with running as url:
        assert outage(Gateway.at(url), PATH).outcome == "failed"
