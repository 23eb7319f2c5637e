"""The version of a record: what If-Match compares, so that no change is overwritten unseen."""

import hashlib
import json


def etag_of(*content: object) -> str:
    """Names the version with that content (as JSON has it), quoted as the ETag header has it.

    It follows from the content alone, so it is true again when a change is undone.
    """
    return f'"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}"'
