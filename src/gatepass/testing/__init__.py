"""Test a guarded application without a Gatepass server.

::

    verifier = FakeVerifier()
    token = verifier.token("charges:get", networks=["203.0.113.0/24"], expires_in=60)
    assert verifier.check(token, permission="charges:get", address="203.0.113.7").allowed

Every guard accepts it in place of a verifier that follows. Needs no package besides plain
``gatepass``. pytest finds the fixture ``gatepass_verifier`` by itself (``pytest_gatepass``).
"""

from gatepass.testing.fake_verifier import FakeVerifier

__all__ = ["FakeVerifier"]
