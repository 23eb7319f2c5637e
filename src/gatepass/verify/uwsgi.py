"""uWSGI, which forks its workers without calling Python's fork hooks.

By default uWSGI loads the application in its master and forks the workers afterwards, in C: it
calls none of the functions of ``os.register_at_fork``, and the master's threads don't exist in a
worker. So nothing starts in the master, and each worker starts its own threads.
"""

import importlib
from collections.abc import Callable
from typing import Any

from gatepass.core.errors import Misconfigured


def _uwsgi() -> Any:
    """The ``uwsgi`` module, which exists only inside uWSGI; None elsewhere."""
    try:
        return importlib.import_module("uwsgi")
    except ImportError:
        return None


def will_fork() -> bool:
    """Whether this is uWSGI's master, before it forks its workers."""
    uwsgi = _uwsgi()
    # That is so without lazy-apps. Mules and the spooler are forks, too.
    return (
        hasattr(uwsgi, "worker_id")
        and uwsgi.worker_id() == 0
        and uwsgi.mule_id() == 0
        and not uwsgi.i_am_the_spooler()
    )


def call_after_fork(function: Callable[[], None]) -> None:
    """Have uWSGI call *function* in each process that it forks.

    Not reliable: ``uwsgidecorators`` overwrites the hook when it is imported later.
    """
    uwsgi = _uwsgi()
    previous = getattr(uwsgi, "post_fork_hook", None)

    def hook() -> None:
        function()
        if previous is not None:
            previous()

    uwsgi.post_fork_hook = hook


def require_threads() -> None:
    """Refuse a uWSGI that doesn't run Python threads.

    Raises:
        Misconfigured: uWSGI was started without ``enable-threads``.
    """
    uwsgi = _uwsgi()
    if hasattr(uwsgi, "worker_id") and not getattr(uwsgi, "has_threads", True):
        raise Misconfigured(
            "uWSGI must be started with enable-threads: Gatepass keeps its grants current on a "
            "thread"
        )
