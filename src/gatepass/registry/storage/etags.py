"""ETags of records: If-Match compares them, so that no change is overwritten unseen."""

import hashlib
import json


def etag_of(*content: object) -> str:
    """The ETag of a record with this content (JSON values), in quotes as the header has it.

    It depends on the content alone, so undoing a change restores the former ETag.
    """
    return f'"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}"'
