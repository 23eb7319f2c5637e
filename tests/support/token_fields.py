"""Two values of each field of a UI token that can be changed, to find it at every surface."""

from collections.abc import Iterator, Mapping

FIRST: dict[str, object] = {
    "label": "Nightly settlement",
    "permissions": ["charges:get"],
    "networks": ["203.0.113.0/24"],
    "domains": ["shop.example.com"],
    "expires_at": 4_891_363_200_000,
    "metadata": {"cost-center": "4711", "team": "payments"},
    "external_id": "deploy/7",
    "unused_days": 61,
}
SECOND: dict[str, object] = {
    "label": "Morning settlement",
    "permissions": ["charges:create"],
    "networks": ["198.51.100.0/24"],
    "domains": ["till.example.com"],
    "expires_at": 4_922_899_200_000,
    "metadata": {"team": "treasury"},
    "external_id": "deploy/8",
    "unused_days": 62,
}
_YEARS = {4_891_363_200_000: "2125", 4_922_899_200_000: "2126"}


def shown_words(fields: Mapping[str, object]) -> Iterator[str]:
    """What a person must be able to read of *fields*; of a time its year."""
    for value in fields.values():
        if isinstance(value, list):
            yield from map(str, value)
        elif isinstance(value, dict):
            yield from map(str, value.values())
        else:
            yield _YEARS.get(value, str(value)) if isinstance(value, int) else str(value)
