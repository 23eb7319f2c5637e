"""Which clients accept gzip."""

import gzip

import pytest

from gatepass.web.compression import BEST, QUICK, accepts_gzip, gzipped


@pytest.mark.parametrize(
    ("lines", "accepts"),
    [
        ([], False),
        ([""], False),
        (["identity"], False),
        (["br, zstd"], False),
        (["gzip"], True),
        (["deflate, GZIP;q=0.5"], True),
        (["br", "gzip"], True),
        (["gzip;q=0"], False),
        (["gzip; q=0.000, *"], False),
        (["*"], True),
        (["*;q=0, gzip"], True),
        (["*;q=0"], False),
        (["gzipped, x-gzip"], False),
    ],
)
def test_clients_say_whether_they_accept_it(lines: list[str], accepts: bool) -> None:
    assert accepts_gzip(lines) is accepts


@pytest.mark.parametrize("level", [BEST, QUICK])
def test_the_same_content_is_the_same_bytes(level: int) -> None:
    content = b"a token, a permission, a token" * 99
    assert gzipped(content, level=level) == gzipped(content, level=level)
    assert gzip.decompress(gzipped(content, level=level)) == content
