"""What differs under uWSGI, which forks its workers without telling Python.

By default uWSGI loads the application in its master and forks the workers afterwards, in C: none of
the functions of ``os.register_at_fork`` is called, and threads of the master don't exist in a
worker. So nothing begins in the master, and each worker begins for itself.
"""

import importlib
from collections.abc import Callable
from typing import Any

from gatepass.core.errors import Misconfigured


def _uwsgi() -> Any:
    """The module that exists inside uWSGI alone; None elsewhere."""
    try:
        return importlib.import_module("uwsgi")
    except ImportError:
        return None


def is_to_fork() -> bool:
    """Whether this process is one that uWSGI has yet to fork, or to make a worker of."""
    uwsgi = _uwsgi()
    # Without lazy-apps; a mule or spooler is one of the forks.
    return (
        hasattr(uwsgi, "worker_id")
        and uwsgi.worker_id() == 0
        and uwsgi.mule_id() == 0
        and not uwsgi.i_am_the_spooler()
    )


def call_after_fork(function: Callable[[], None]) -> None:
    """Have uWSGI call *function* in each process that it forks.

    ``uwsgidecorators`` overwrites this when it is imported later on, so it can't be relied on.
    """
    uwsgi = _uwsgi()
    former = getattr(uwsgi, "post_fork_hook", None)

    def hook() -> None:
        function()
        if former is not None:
            former()

    uwsgi.post_fork_hook = hook


def require_threads() -> None:
    """Refuse a uWSGI that runs no threads of Python's.

    Raises:
        Misconfigured: it was started without ``enable-threads``.
    """
    uwsgi = _uwsgi()
    if hasattr(uwsgi, "worker_id") and not getattr(uwsgi, "has_threads", True):
        raise Misconfigured(
            "uWSGI must be started with enable-threads: Gatepass keeps its grants current on a "
            "thread"
        )
