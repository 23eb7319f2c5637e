"""Answering where a request arrives, without the detour by the event loop.

Granian receives requests on a thread of its own and hands each, as a coroutine, to the event loop's
thread by ``call_soon_threadsafe``. Handing over costs more than a whole decision: the two threads
pass the interpreter's lock back and forth for every request, and wait for each other. A decision
waits for nothing, so here it is made at once, on the thread that hands it over. What does wait (a
body, for one) says so first with ``await on_the_loop()``, and goes the usual way from there.
"""

from collections.abc import Callable, Generator
from types import CoroutineType, coroutine
from typing import Any

import uvloop


class InPlaceLoop(uvloop.Loop):
    """An event loop that begins coroutines handed over from other threads on those threads."""

    def call_soon_threadsafe(  # type: ignore[override]  # nothing is left to cancel once it is done
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """Run the coroutine in *args* up to its first pause; if it goes on, *callback* gets it.

        Anything else than one coroutine is handed to the loop as ever.
        """
        if len(args) == 1 and type(args[0]) is CoroutineType:
            try:
                args[0].send(None)
            except StopIteration:
                return None
        return super().call_soon_threadsafe(callback, *args, context=context)


@coroutine
def on_the_loop() -> Generator[None, None, None]:
    """Awaited first by what has to wait: the rest of the coroutine runs on the loop's thread.

    On any other loop it is a pause of one round.
    """
    yield
