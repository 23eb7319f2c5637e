"""A supervisor whose workers answer only the gateway endpoints.

Prints a line once it is ready; exits with the supervisor's code.
"""

import logging
import sys

from gatepass.core.errors import Misconfigured
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.web.server.supervisor import serve
from tests.support.grants.grant_fixtures import CATALOGUE

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    try:
        sys.exit(
            serve(
                Settings.read(),
                CATALOGUE,
                Clock(),
                application=sys.argv[1],
                when_ready=lambda: print("ready", flush=True),
            )
        )
    except Misconfigured as error:
        print(error.message, file=sys.stderr)
        sys.exit(2)
