"""Envoy, from PyPI."""

from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.programs import program


def _command(directory: Path) -> list[str]:
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [program("envoy"), "-c", str(directory / "envoy.yaml"), *options]


_ADDRESSES = {
    "address: 127.0.0.1, port_value: 9000": "address: 127.0.0.1, port_value: {api}",
    "address: 0.0.0.0, port_value: 8080": "address: 127.0.0.1, port_value: {front}",
}

ENVOY = Gateway(
    "envoy",
    {
        **_ADDRESSES,
        "address: 127.0.0.1, port_value: 8788": "address: 127.0.0.1, port_value: {verify}",
        "http://127.0.0.1:8788": "http://127.0.0.1:{verify}",
    },
    _command,
)
ENVOY_GRPC = Gateway(
    "envoy, Over gRPC",
    {
        **_ADDRESSES,
        "address: 127.0.0.1, port_value: 8789": "address: 127.0.0.1, port_value: {grpc}",
    },
    _command,
)
