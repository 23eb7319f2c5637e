"""Handlers that don't wait run inline on the receiving thread; others continue on the loop."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from gatepass.web.gateway.inline_loop import InlineLoop, switch_to_loop


def handed_over(handler: Coroutine[Any, Any, None]) -> tuple[int, int]:
    """Hand *handler* to a loop from another thread, as Granian does; the two threads' idents."""
    loop = InlineLoop()
    bringing: list[int] = []

    def bring() -> None:
        bringing.append(threading.get_ident())
        loop.call_soon_threadsafe(lambda begun: loop.create_task(begun), handler)
        loop.call_soon_threadsafe(loop.call_later, 0.05, loop.stop)

    thread = threading.Thread(target=bring)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()
    return bringing[0], threading.get_ident()


def test_a_decision_runs_inline_on_the_receiving_thread() -> None:
    """No hand-over, and nothing is left for the loop to do."""
    seen = []

    async def decide() -> None:
        seen.append(threading.get_ident())

    bringing, _ = handed_over(decide())
    assert seen == [bringing]


def test_a_handler_that_waits_continues_on_the_loop() -> None:
    """A body is awaited on the loop's thread, where awaiting works, and what follows runs there."""
    seen = []

    async def read() -> None:
        seen.append(threading.get_ident())
        await switch_to_loop()
        await asyncio.sleep(0)
        seen.append(threading.get_ident())

    assert handed_over(read()) == tuple(seen)


def test_handlers_run_on_any_other_loop() -> None:
    """The handler doesn't depend on the loop it runs on."""

    async def read() -> str:
        await switch_to_loop()
        return "read"

    assert asyncio.run(read()) == "read"
