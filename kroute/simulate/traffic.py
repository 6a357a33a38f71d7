"""How much is produced: a curve by hour and weekday, slow noise, and how it spreads over partitions."""

from __future__ import annotations

import numpy as np

from kroute.simulate.state import F, Index, f, tally


def season(ix: Index, seconds: F) -> F:
    """Factor per step and topic from the time of day and week; ``seconds`` are epoch seconds (UTC)."""
    hour = (seconds / 3600.0) % 24.0
    weekday = (np.floor(seconds / 86_400.0) + 3) % 7  # the epoch began on a Thursday
    out = f((len(seconds), len(ix.estate.topics)))
    for i, t in enumerate(ix.estate.topics):
        day = 1.0 + t.swing * np.cos((hour - t.peak_hour) / 24.0 * 2 * np.pi)
        out[:, i] = day * np.where(weekday >= 5, t.weekend, 1.0)
    return out


def noise(ix: Index, steps: int, dt: float, rng: np.random.Generator) -> F:
    """Slow noise per step and topic: an autoregressive walk of some minutes around 0, as a factor, with fast jitter on top."""
    n = len(ix.estate.topics)
    keep = float(np.exp(-dt / 180.0))
    shocks = rng.normal(size=(steps, n)) * np.sqrt(1 - keep**2)
    walk = f((steps, n))
    walk[0] = rng.normal(size=n)
    for i in range(1, steps):
        walk[i] = keep * walk[i - 1] + shocks[i]
    size = np.array([t.noise for t in ix.estate.topics])
    out: F = np.exp(walk * size + rng.normal(size=(steps, n)) * size * 0.5)
    return out


def rates(ix: Index, seconds: F, dt: float, rng: np.random.Generator) -> F:
    """Records/s wanted per step and topic."""
    mean = np.array([t.rate for t in ix.estate.topics])
    return np.maximum(mean * season(ix, seconds) * noise(ix, len(seconds), dt, rng), 0.0)


def shares(ix: Index, rng: np.random.Generator) -> F:
    """Share of each partition in its topic's records; sums to 1 per topic."""
    skew = np.array([t.skew for t in ix.estate.topics])[ix.p_topic]
    weight = np.exp(rng.normal(size=ix.partitions) * skew)
    out: F = weight / tally(ix.p_topic, weight, len(ix.estate.topics))[ix.p_topic]
    return out


def follow_link(ix: Index, share: F) -> None:
    """A linked topic has its source's shares: records keep their partition."""
    for i, t in enumerate(ix.estate.topics):
        if t.link:
            source = next(j for j, s in enumerate(ix.estate.topics) if s.name == t.name and not s.link)
            share[ix.of_topic(i)] = share[ix.of_topic(source)]
