"""What tests ask of the API's refusals."""

import httpx


def reasons(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason."""
    return answer.status_code, answer.json()["reason"]


def fields(answer: httpx.Response) -> list[str]:
    """Which fields a 422 found wrong."""
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]
