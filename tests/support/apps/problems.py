"""Readers of the API's problem documents."""

import httpx


def reasons(answer: httpx.Response) -> tuple[int, str]:
    """The status and the reason."""
    return answer.status_code, answer.json()["reason"]


def fields(answer: httpx.Response) -> list[str]:
    """The fields that a 422 names."""
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]
