"""Which policies were in force: applying one, the history of all, and going back.

The history is written before the policy: whatever is in force can be found there.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kroute.admin import log
from kroute.contracts.codec import decode
from kroute.contracts.rows import Policy, PolicyChange
from kroute.errors import BadMessage
from kroute.routing.policy import check
from kroute.settings import Settings

KEY = "policy"
_decode = msgspec.json.Decoder(PolicyChange).decode
_GIT_S = 10


class Held(NamedTuple):
    """The policy that workers hold. ``refused``: the version of a bad one that stands after it on the topic, None: none does.
    A worker that begins with empty state would find only that one once the topic is compacted: apply a good one.
    """

    policy: Policy
    refused: str | None = None


def version_of(path: str | Path, value: Any) -> str:
    """The git commit of the files, ``<commit>-<content>`` where they differ from it, else a hash of the content."""
    content = hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:10]
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    commit = _git(folder, "rev-parse", "--short=10", "HEAD")
    if commit is None:
        return f"content-{content}"
    clean = _git(folder, "status", "--porcelain", "--", str(Path(path).resolve()))
    return commit if clean == "" else f"{commit}-{content}"


def _git(folder: Path, *args: str) -> str | None:
    try:
        out = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, timeout=_GIT_S, check=False
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip() if out.returncode == 0 else None


def in_force(settings: Settings) -> Held | None:
    """The newest good policy, as workers take it; None: none was ever applied, or it was deleted.

    Raises:
        StateError: the topic does not exist.
    """
    good: Policy | None = None
    refused: str | None = None
    for kept in log.records(settings, [settings.names.full("policy")]):
        if kept.key != KEY:
            continue
        if kept.value is None:
            good = refused = None
            continue
        try:
            policy = decode("policy", kept.value)
        except BadMessage:
            refused = "unreadable"
            continue
        if check(policy)[1]:
            refused = policy.version
        else:
            good, refused = policy, None
    if good is None and refused is not None:  # compaction left the bad one alone
        past = history(settings)
        good = past[-1].policy if past else None
    return Held(good, refused) if good is not None else None


def history(settings: Settings) -> list[PolicyChange]:
    """Every policy that was put in force, oldest first.

    Raises:
        StateError, SourceUnreachable: as ``kroute.admin.log``.
    """
    out: list[PolicyChange] = []
    for kept in log.compacted(settings, settings.names.full("policy-history")).values():
        try:
            out.append(_decode(kept.value or b""))
        except (msgspec.MsgspecError, ValueError):
            continue
    return sorted(out, key=lambda c: c.at_ms)


def put(settings: Settings, policy: Policy, *, action: str, by: str, why: str, now_ms: int) -> None:
    """Write history, then the policy, and wait until both are stored.

    Raises:
        SourceUnreachable: Kafka gave no answer; applying again is safe.
    """
    change = PolicyChange(at_ms=now_ms, by=by, why=why, action=action, policy=policy)
    past = log.ensure(settings, "policy-history")
    topic = log.ensure(settings, "policy")
    log.produce(settings, past, [log.Row(f"{now_ms:013d}/{policy.version}", msgspec.json.encode(change))])
    log.produce(settings, topic, [log.Row(KEY, msgspec.json.encode(policy))])


def earlier(past: list[PolicyChange], current: str | None, wanted: str | None) -> PolicyChange | None:
    """The newest entry of version ``wanted``, else the newest of another version than the current one."""
    for change in reversed(past):
        if change.policy.version == wanted if wanted is not None else change.policy.version != current:
            return change
    return None
