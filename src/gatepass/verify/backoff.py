"""The pause before a retry, which doubles with each failure in a row."""


class Backoff:
    """Pauses that double from *shortest_s* to *longest_s* seconds."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._next_s = shortest_s

    def pause(self) -> float:
        """The seconds to wait after another failure."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Start over after a success."""
        self._next_s = self._shortest_s
