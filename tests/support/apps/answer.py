"""An HTTP answer, independent of the client."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """Status, headers and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def outcome(self) -> str:
        """The reason of a refusal, or "allowed"."""
        return "allowed" if self.status == 200 else str(self.json["reason"])

    def header(self, name: str) -> str | None:
        """The value of a header, named in lower case; None without it. It must not be repeated."""
        found = [value for key, value in self.headers if key.lower() == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None
