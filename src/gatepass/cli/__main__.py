"""``python -m gatepass.cli``, where the ``gatepass`` script isn't on the path."""

import sys

from gatepass.cli import main

if __name__ == "__main__":
    sys.exit(main())
