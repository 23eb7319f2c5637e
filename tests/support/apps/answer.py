"""An answer over HTTP, however it was asked for."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What came back."""

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
        """The one value of a header, which is named in lower case; or None."""
        found = [value for key, value in self.headers if key.lower() == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None
