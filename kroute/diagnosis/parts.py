"""Which of some numbered things hang together."""

from __future__ import annotations

from collections.abc import Iterable


class Parts:
    """Numbers 0 … n − 1, each a part of its own until joined."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def head(self, u: int) -> int:
        """The least number of the part that holds ``u``; shortens the way to it."""
        parent = self._parent
        while parent[u] != u:
            parent[u] = parent[parent[u]]
            u = parent[u]
        return u

    def join(self, numbers: Iterable[int]) -> None:
        """Make these, of which there must be one at least, one part."""
        heads = [self.head(u) for u in numbers]
        least = min(heads)
        for h in heads:
            self._parent[h] = least
