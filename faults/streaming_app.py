"""A guarded application whose answers never end, for the experiment ``streams``.

Served by Uvicorn: ``uvicorn faults.streaming_app:app``. The environment names the installation.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gatepass import GatepassMiddleware, Verifier


def _verifier() -> Verifier:
    return Verifier.follow(
        os.environ["STREAMS_URL"],
        key=os.environ["STREAMS_KEY"],
        directory=Path(os.environ["STREAMS_DIRECTORY"]),
    )


async def _endless(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.Event().wait()


app = GatepassMiddleware(_endless, _verifier, permissions={"GET /stream": "charges:get"})
