"""An event loop that runs handlers inline, on the thread that receives the request.

Granian receives requests on a thread of its own and hands each, as a coroutine, to the event loop's
thread by ``call_soon_threadsafe``. The hand-over costs more than a whole decision: for each request
the two threads pass the interpreter's lock back and forth and wait for each other. A decision does
no I/O, so it runs at once, on the receiving thread. A handler that has to wait (to read a body)
first awaits ``switch_to_loop()`` and continues on the loop as usual.
"""

from collections.abc import Callable, Generator
from types import CoroutineType, coroutine
from typing import Any

import uvloop


class InlineLoop(uvloop.Loop):
    """An event loop that starts coroutines on the threads that schedule them."""

    def call_soon_threadsafe(  # type: ignore[override]  # a finished coroutine has no handle
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """Run the coroutine in *args* to its first await; if it isn't done, schedule *callback*.

        Any other arguments are scheduled on the loop as usual.
        """
        if len(args) == 1 and type(args[0]) is CoroutineType:
            try:
                args[0].send(None)
            except StopIteration:
                return None
        return super().call_soon_threadsafe(callback, *args, context=context)


@coroutine
def switch_to_loop() -> Generator[None, None, None]:
    """Continue on the loop's thread. On any other loop this yields once."""
    yield
