"""Rules M3, M31, M32, M40, M44, M45, M46, M47, M52, M62: those that look at more than one level of one number."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from kroute.signals.baseline import median
from kroute.signals.metric_rules import (
    HEALTHY,
    PEER_POLLS,
    RULES,
    Feature,
    Finding,
    Series,
    View,
    held,
    judge,
    number,
    quantity,
    rounded,
)

DISK_HORIZON_MS = 2 * 3_600_000
"""A disk that is full within this time at the present slope is filling."""
STUCK_POLLS = 6
DOMINANT_SHARE = 0.5
LITTLE = 0.1
"""Of the floor: less than this is nothing that grows."""
BURST_POLLS = 4
"""Who reads a period's records at once takes most of the bytes out for a moment; only longer than that is it told."""
SETTLED_MS = 180_000
FADING = 0.5
"""Of its worst poll: what is less than this is coming to its end."""
MESSAGES = Feature("messages", "records in", "/s", None, add=True)


def disk_filling(view: View) -> Finding | None:
    """M3: above 85 %, or full within two hours at the slope of the whole window."""
    rule = next(r for r in RULES["broker"] if r.kind == "disk-filling")
    level = judge(rule, view)
    series = view.series("disk_ratio", False)
    if level is None or level.active or len(series) < 12 or series[-1][1] < 0.5:
        return level
    (t0, v0), (t1, v1) = series[0], series[-1]
    rising = sum(1 for (_, a), (_, b) in pairwise(series) if b >= a)
    slope = (v1 - v0) / (t1 - t0)
    if slope <= 0 or rising < 0.75 * (len(series) - 1):
        return level
    left = (1.0 - v1) / slope
    if left > DISK_HORIZON_MS:
        return level
    why = f"disk {quantity(v1, 'ratio')}, full in {number(left / 60_000)} min at this pace"
    return Finding(True, t0, v1, why, {"feature": "disk_ratio"})


def controller_missing(view: View) -> Finding | None:
    """M31: active controllers over all sources are not one. Only where a controller was ever seen to be active,
    for who scrapes the followers alone always sees none; and not while a source that may hold it is not heard.

    It moves from one to the other between their polls: none is none in the newest polls of any source, and who held it
    and is polled no more holds it no more.
    """
    name = "active_controllers"
    most, summed = view.series(name, False), view.series(name, True)
    if not most:
        return None
    if most[-1][1] < 1 and view.unheard(name):
        return None
    if view.symptom("controller-missing") is None and not any(v >= 1 for _, v in most):
        return None
    holders = [at for at, v in view.heads(name) if v >= 1]
    several = len(holders) > 1 and summed[-1][0] - min(holders) <= 1.5 * view.interval_ms
    wrong = [a < 1 or (several and b > 1) for (_, a), (_, b) in zip(most, summed, strict=True)]
    if len(wrong) >= 3 and all(wrong[-3:]):
        return _found(summed, wrong, f"{number(summed[-1][1])} active controllers", name)
    return _keep(view, "controller-missing", summed, wrong)


def heartbeats_missed(view: View) -> Finding | None:
    """M32: the count of timed-out heartbeats rose within the last four polls."""
    return _rising(view, "heartbeat_timeouts", 4, "broker heartbeats timed out")


def probe_failing(view: View) -> Finding | None:
    """M44: failures, and whether this rack's probes stand apart from the others': a probe goes to brokers in all racks, so the
    trouble of one broker shows in all of them alike, and the trouble of a rack most in its own."""
    return _apart("probe-failing", view, 1.5)


def probe_slow(view: View) -> Finding | None:
    """M45: slow probes, and whether this rack's probes stand apart from the others'."""
    return _apart("probe-slow", view, 3.0)


def _apart(kind: str, view: View, times: float) -> Finding | None:
    """A rack's probes stand apart when they are this many times as bad as those of the other racks, each at the worst of its
    last polls: what comes and goes is met by one rack's poll and missed by the next one's. What this rack's newest poll met
    counts once the others have been polled after it."""
    found = judge(next(r for r in RULES["rack"] if r.kind == kind), view)
    if found is None or not found.active:
        return found
    name = str(found.detail["feature"])
    add = name == "probe_fail"  # failures of a rack's probes add up, of their times the worst counts
    since = [(at, v) for at, v in view.series(name, add) if at >= found.since_ms]
    others = view.peers_since(name, add, found.since_ms)
    if not others:
        return found
    heard = [s for s in others if s]
    all_polled_ms = min((s[-1][0] for s in heard), default=view.now_ms)
    lately = since[-PEER_POLLS:]
    mine = [v for at, v in lately if at <= all_polled_ms]
    before = view.symptom(kind)
    was = before is not None and before.detail.get("apart") == "yes"
    from_ms = int(before.detail.get("apart_since", view.now_ms)) if before is not None and was else view.now_ms
    if was and (max(v for _, v in lately) < FADING * max(v for _, v in since) or view.now_ms - from_ms >= SETTLED_MS):
        said = "yes"  # what ends is about what it was about, and what joins it minutes later is another matter
    elif len(heard) < len(others) or not mine:  # the others have not been polled since: whether they fare alike is not known yet
        said = "open" if before is None else str(before.detail.get("apart", "open"))
    else:
        said = "yes" if max(mine) >= times * max(median([max(v for _, v in s) for s in heard]), 1e-9) else "no"
    more = {"apart": said, "apart_since": from_ms} if said == "yes" else {"apart": said}
    return found._replace(detail={**found.detail, **more})


def dominates(view: View) -> Finding | None:
    """M40: over half of bytes, requests or connections for two polls (of bytes out for four), and twice what it would be had
    it grown from its own usual as all the others did from theirs. Where the usual is not known yet, the least that was seen
    before stands for it: neither who has always had most of the traffic nor a day on which everybody has more is trouble."""
    judged = False
    count = view.newest("total:principals")
    if count is None or count < 2:
        return None
    for name, label, unit, floor in (
        ("in", "bytes in", "B/s", 1e6),
        ("out", "bytes out", "B/s", 1e6),
        ("requests", "requests", "/s", 100.0),
        ("connections", "connections", "", 100.0),
    ):
        now, of = view.newest(name), view.newest(f"total:{name}")
        if now is None or of is None or view.unheard(name):
            continue  # a sum over fewer brokers than before compares with nothing
        if now <= DOMINANT_SHARE * of:
            judged = True
            continue
        mine, total = view.series(name, True), view.series(f"total:{name}", True)
        if not mine or not total:
            continue
        judged = True
        depth = view.depth(name)
        mine, total = mine[-depth:], total[-depth:]
        old = view.symptom("dominates")
        if old is not None and old.detail.get("feature") == name and "usual" in old.detail:
            usual, others = float(old.detail["usual"]), float(old.detail.get("others", 0.0))  # before it began
        else:
            usual, others = _usual(view, name, mine, total)
        pairs = list(zip(mine[::-1], total[::-1], strict=False))[::-1]
        rose, left = [], []
        for (_, m), (_, t) in pairs:
            grown = max(1.0, (t - m) / others) if others > 0 else 1.0
            rose.append(m > max(floor, 2.0 * usual * grown))
            left.append(m > max(LITTLE * floor, 2.0 * usual * grown))
        run = [far and t > 0 and m / t > DOMINANT_SHARE for far, ((_, m), (_, t)) in zip(rose, pairs, strict=True)]
        polls = BURST_POLLS if name == "out" and old is None else 2
        if len(run) >= polls and all(run[-polls:]):
            series: Series = [m for m, _ in pairs]
            share = series[-1][1] / pairs[-1][1][1]
            why = f"{quantity(share, 'ratio')} of {label}: {quantity(series[-1][1], unit)} (usual {quantity(usual, unit)})"
            detail = {"feature": name, "usual": rounded(usual), "others": rounded(others)}
            return _found(series, left, why, name)._replace(value=share, detail=detail)  # it began before it was over half
    return HEALTHY if judged else None


def _usual(view: View, name: str, mine: Series, total: Series) -> tuple[float, float]:
    """What a principal usually has of a feature, and what all others together have."""
    base, of = view.base(name, True, False), view.base(f"total:{name}", True, False)
    least, then = min((m, t) for (_, m), (_, t) in zip(mine[::-1], total[::-1], strict=False))
    if base is None:
        return least, then - least
    return base.median, max(0.0, of.median - base.median) if of is not None else then - least


def produce_retries(view: View) -> Finding | None:
    """M47: produce requests fail in numbers and above their usual, while the records written do not grow."""
    errors = view.series("produce_errors", True)
    requests = view.series("produce_requests", True)
    if not errors or not requests:
        return None
    usual, written = view.base("produce_errors", True, False), view.base("messages", True, False)
    messages = view.series("messages", True)
    least = 1.0 if usual is None else max(1.0, 3.0 * usual.median)
    # Followed only since it fails, what is usually written may not be known: then that it is flat is not excluded.
    flat = not messages or written is None or written.median <= 0.0 or messages[-1][1] <= 1.3 * written.median
    pairs = list(zip(errors[::-1], requests[::-1], strict=False))[::-1]
    run = [flat and e > least and e > 0.2 * r for (_, e), (_, r) in pairs]
    series: Series = [e for e, _ in pairs]
    most = all(e > 0.5 * r for (_, e), (_, r) in pairs[-2:]) and held(series, run)
    if len(run) >= 3 and all(run[-2 if most else -3 :]):
        why = f"{number(series[-1][1])} failed produce requests/s of {number(pairs[-1][1][1])}"
        return _found(series, run, why, "produce_errors")
    return _keep(view, "produce-retries", series, run)


def cross_zone_high(view: View) -> Finding | None:
    """M46: bytes across zones well above usual, and not because a backlog is read: then more of everything is. Nor because
    other brokers lead what it reads: the same bytes are then told by others."""
    rule = next(r for r in RULES["group"] if r.kind == "cross-zone-high")
    level = judge(rule, view)
    if level is None or not level.active or view.symptom(rule.kind) is not None:
        return level
    if any(view.symptom(kind) is not None for kind in ("catching-up", "reading-fast", "offset-rewound")):
        return None
    (feature,) = rule.features
    former = view.former(feature.name)
    moved = former > 0 and level.value <= feature.ratio * (former + level.detail.get("usual", 0.0))
    return HEALTHY if moved else level


def link_groups_stuck(view: View) -> Finding | None:
    """M52: promotion has begun, is not complete, and made no progress for six polls.

    It has begun when some groups are promoted, or when the link, or the row that states it, says so.
    """
    promoted, subscribed = view.series("promoted", False), view.series("subscribed", False)
    if not promoted or not subscribed:
        return None
    now, of = promoted[-1][1], subscribed[-1][1]
    still = promoted[-STUCK_POLLS:]
    begun = view.series("promoting", False)[-STUCK_POLLS:]
    said = len(begun) == STUCK_POLLS and all(v > 0 for _, v in begun)
    if (now > 0 or said) and now < of and len(still) == STUCK_POLLS and all(v == now for _, v in still):
        why = f"{number(now)} of {number(of)} groups promoted, no progress over {STUCK_POLLS} polls"
        return Finding(True, still[0][0], now, why, {"feature": "promoted", "promoted": now, "subscribed": of})
    return HEALTHY


def worker_tasks_failing(view: View) -> Finding | None:
    """M62: failed tasks on the worker for two polls, or start-ups that fail within the last four."""
    failed = view.series("failed_tasks", True)
    started = _rising(view, "startup_failures", 4, "task start-ups failed")
    if failed:
        run = [v > 0 for _, v in failed]
        if len(run) >= 2 and all(run[-2:]):
            return _found(failed, run, f"{number(failed[-1][1])} failed tasks on the worker", "failed_tasks")
    return started if started is not None else (HEALTHY if failed else None)


def _rising(view: View, name: str, polls: int, label: str) -> Finding | None:
    series = view.series(name, True)[-polls - 1 :]
    if not series:
        return None
    up = [b > a for (_, a), (_, b) in pairwise(series)]
    if not any(up):
        return HEALTHY
    first = up.index(True) + 1
    rise = series[-1][1] - series[first - 1][1]
    value = rise if rise > 0 else series[first][1]
    return Finding(True, series[first][0], value, f"{number(value)} {label}", {"feature": name})


def _found(series: Series, run: list[bool], why: str, feature: str) -> Finding:
    last = len(run) - 1
    while last > 0 and run[last - 1]:
        last -= 1
    return Finding(True, series[last][0], series[-1][1], why, {"feature": feature})


def _keep(view: View, kind: str, series: Series, wrong: list[bool]) -> Finding:
    """An active symptom stays until two polls in a row are right."""
    old = view.symptom(kind)
    if old is None or (len(wrong) >= 2 and not any(wrong[-2:])):
        return HEALTHY
    return Finding(True, old.since_ms, series[-1][1], old.why, old.detail)


Special = Callable[[View], Finding | None]
SPECIAL: dict[str, tuple[tuple[str, Special], ...]] = {
    "broker": (("disk-filling", disk_filling),),
    "cluster": (("controller-missing", controller_missing), ("heartbeats-missed", heartbeats_missed)),
    "principal": (("dominates", dominates),),
    "rack": (("probe-failing", probe_failing), ("probe-slow", probe_slow)),
    "topic": (("produce-retries", produce_retries),),
    "group": (("cross-zone-high", cross_zone_high),),
    "link": (("link-groups-stuck", link_groups_stuck),),
    "connect-worker": (("worker-tasks-failing", worker_tasks_failing),),
}
"""Entity kind → kind of symptom and its rule; takes the place of a level rule of the same kind."""
