"""How rows stand in the changelogs: topic, key, and the header that tells the unit of work."""

from __future__ import annotations

from kroute.settings import Settings

OFFSET_HEADER = "facts-offset"
"""Header of each changelog record: the facts offset of its unit, 8 bytes, big-endian, signed."""


def changelog(settings: Settings, table: str) -> str:
    """The changelog topic of a table, named as Faust names it."""
    return f"{settings.app_id}-{table}-changelog"


def stored_key(partition: int, key: str) -> bytes:
    """The key in store and changelog: begins with the partition, because the store's key index spans partitions."""
    return f"{partition}|{key}".encode()


def engine_key(stored: bytes) -> str:
    """The inverse of ``stored_key``."""
    return stored.decode().partition("|")[2]


def offset_header(offset: int) -> tuple[str, bytes]:
    """The header of the unit at a facts offset."""
    return OFFSET_HEADER, offset.to_bytes(8, "big", signed=True)
