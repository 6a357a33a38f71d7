"""What the named reasons of routes mean, in sentences: the rule of causes.md ("Severity and urgency") and why it held."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "silenced": "rule 1: silenced, told to nobody and recorded",
    "maintenance": "rule 1: in declared maintenance, told to nobody and recorded",
    "declared-change": "rule 2: a declared change covers the root and the time, and its bounds hold",
    "objective-breached": "rule 3: an objective is breached; the action owner is paged where confidence reaches the policy's bar",
    "cause-uncertain": "rule 3: an objective is breached, and confidence is under the policy's bar: the platform is paged",
    "availability-threatened": "rule 4: shared availability is threatened",
    "at-risk": "rule 5: a breach is projected within the time to react; paged where the service is of tier 1",
    "records-lost": "a group has not read, and will not read, what it was to read: whose service it is is told",
    "cost": "rule 6: it costs money and hurts nobody: a ticket",
    "no-objective-at-risk": "rule 6: nothing is breached or at risk: a ticket",
    "informed": "diagnosis owners, and those that the cause names besides, are told",
    "flood": "flood control: this page is collapsed into the incident that stands for the flood",
    "roll-back": "a remedy made things worse; this team owns the way back",
    "made-worse": "a remedy made things worse, and no way back is written",
    "resolved": "closed: the incident is over",
    "merged": "closed: the incident was merged into an older one",
    "cause-revised": "closed: the cause has moved, and with it the owner",
    "owner-known": "closed: a fallback stood in, the owner is known by now",
    "escalated": "closed here: told to the same team more urgently elsewhere",
}
"""Every reason that a route may carry, but those of the policy's own routes."""
PREFIXES = {
    "policy:": "the policy's route {} says so",
    "escalated:": "nobody acknowledged the page in the time that the policy's route {} gives",
}
FALLBACKS = {
    "fallback:platform": "no row answers: the platform team of the cluster stands in",
    "fallback:default": "no row answers, and the cluster has no platform team: told to 'unowned'",
}


def reason(word: str) -> str:
    """A route's ``reason`` as a sentence; one that is not known stays as it is."""
    for prefix, sentence in PREFIXES.items():
        if word.startswith(prefix):
            return sentence.format(word.removeprefix(prefix))
    return REASONS.get(word, word)


def via(word: str) -> str:
    """Where a route's team comes from: the row, or what stands in for it."""
    if word.startswith("policy:"):
        return f"named by the policy's route {word.removeprefix('policy:')}"
    return FALLBACKS.get(word, f"row {word}")
