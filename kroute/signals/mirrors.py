"""Topics that are mirrored from one cluster to another, told by their names."""

from __future__ import annotations


def mirrored_names(topic: str) -> list[str]:
    """What the topic may be called where it is mirrored from: itself, or what follows a prefix (``source.topic``)."""
    return [topic, *(topic[i + 1 :] for i, x in enumerate(topic) if x in ".-_")]
