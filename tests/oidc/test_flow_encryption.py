"""The encrypted state of a flow."""

from hypothesis import given
from hypothesis import strategies as st

from gatepass.oidc.flow_encryption import FlowEncryption

ONE = {"issuer": "https://login.example.com", "client": "gatepass", "secret": "s"}
FLOWS = FlowEncryption(**ONE)


@given(st.binary(max_size=300))
def test_every_node_with_the_same_settings_reads_it(plain: bytes) -> None:
    text = FLOWS.encrypt(plain)
    assert FlowEncryption(**ONE).decrypt(text) == plain
    assert "=" not in text
    for name in ONE:
        assert FlowEncryption(**(ONE | {name: "other"})).decrypt(text) is None


@given(st.text())
def test_other_texts_are_none(text: str) -> None:
    assert FLOWS.decrypt(text) is None


def test_a_changed_text_is_none() -> None:
    text = FLOWS.encrypt(b"state")
    for at in range(len(text) - 1):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        assert FLOWS.decrypt(changed) is None
