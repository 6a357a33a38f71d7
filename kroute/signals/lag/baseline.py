"""What is usual: robust location, scale and upper edge of one number, in five words of memory."""

from __future__ import annotations

from msgspec import Struct

ENOUGH = 20
"""Under this many samples the field's plain thresholds hold."""
_MEMORY = 50
_ALPHA = 1.0 / _MEMORY
"""Weight of a sample once there are enough: a memory of some fifty polls."""


class Baseline(Struct, array_like=True):
    """Running median and MAD (Huber-clipped steps, so an outlier moves them little) and a slowly falling upper edge."""

    n: int = 0
    mid: float = 0.0
    mad: float = 0.0
    high: float = 0.0

    @property
    def known(self) -> bool:
        """True when there are enough samples to judge by."""
        return self.n >= ENOUGH

    def add(self, x: float) -> None:
        """Take one sample that no symptom spoiled."""
        self.n += 1
        if self.n == 1:
            self.mid = self.high = x
            return
        a = 1.0 / self.n if self.n < _MEMORY else _ALPHA
        mad, high = self.mad, self.high
        step = x - self.mid
        if self.n > ENOUGH and mad > 0.0:
            reach = 4.0 * mad
            if step > reach:
                step = reach
            elif step < -reach:
                step = -reach
        self.mid += a * step
        self.mad = mad + a * (abs(step) - mad)
        self.high = high + (0.3 if x > high else 0.01) * (x - high)

    def usual_most(self) -> float:
        """A sample above this is unusual."""
        return max(self.mid + 6.0 * self.mad, 1.2 * self.high)
