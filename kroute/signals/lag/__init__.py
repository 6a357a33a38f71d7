"""Consumer lag to symptoms: rules L1–L25 of ``kroute.signals.table``. Open ``windows`` first, then ``group``."""

from kroute.signals.lag.windows import LagWindows

__all__ = ["LagWindows"]
