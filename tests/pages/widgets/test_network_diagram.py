import pytest

from gatepass.web.pages.widgets.network_diagram import network_diagram


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("203.0.113.77/24", "203.0.113.0 – 203.0.113.255 · 256 addresses"),
        ("203.0.113.77", "203.0.113.77 · this address only"),
        ("0.0.0.0/1", "0.0.0.0 – 127.255.255.255 · 2,147,483,648 addresses"),
        ("2001:db8::/96", "2001:db8:: – 2001:db8::ffff:ffff · 4,294,967,296 addresses"),
        (
            "2001:db8:40::/48",
            "2001:db8:40:: – 2001:db8:40:ffff:ffff:ffff:ffff:ffff · 2⁸⁰ addresses",
        ),
    ],
)
def test_the_range_is_worded_with_its_size(network: str, words: str) -> None:
    drawn = network_diagram(network)
    assert drawn is not None
    assert drawn.words == words


@pytest.mark.parametrize(("network", "cells"), [("10.0.0.0/9", 32), ("2001:db8::/33", 128)])
def test_each_bit_is_a_cell_and_checked_bits_are_filled(network: str, cells: int) -> None:
    drawn = network_diagram(network)
    assert drawn is not None
    kept, free = drawn.kept.count("M"), drawn.free.count("M")
    assert kept == int(network.partition("/")[2])
    assert kept + free == cells


@pytest.mark.parametrize("text", ["", "300.1.1.1", "10.0.0.0/33", "::ffff:10.0.0.0/104", "<b>"])
def test_invalid_networks_have_no_diagram(text: str) -> None:
    assert network_diagram(text) is None
