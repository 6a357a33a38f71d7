"""Local stores: databases that share one cache and one budget for what is not on disk yet.

There is a database for each table and partition (36 with four partitions), and RocksDB's limits, as Faust sets them, are
for each: with 32 MiB of cache and two memtables of 8 MiB a worker grew by over a gigabyte once all were full (measured).
Nothing but recovery reads much, so little cache does.
"""

from __future__ import annotations

from typing import Any

from faust.stores.rocksdb import RocksDBOptions
from rocksdict import BlockBasedOptions, Cache, WriteBufferManager

CACHE_BYTES = 96 * 1024 * 1024
"""Blocks that were read, their indexes and filters, and the memtables, of all databases of the process together."""
MEMTABLE_BYTES = 64 * 1024 * 1024
"""Of it, memtables: when they hold more they are written out, in the background, so for a moment there may be more."""
WRITE_BUFFER_BYTES = 2 * 1024 * 1024

CACHE = Cache(CACHE_BYTES)
MEMTABLES = WriteBufferManager.new_write_buffer_manager_with_cache(MEMTABLE_BYTES, False, CACHE)


class StoreOptions(RocksDBOptions):
    """Faust's options of one database, within the limits of the process."""

    def __init__(self) -> None:
        super().__init__(
            use_rocksdict=True, write_buffer_size=WRITE_BUFFER_BYTES, max_write_buffer_number=2, max_open_files=128
        )  # fmt: skip

    def as_options(self) -> Any:
        """Options of rocksdict."""
        out: Any = super().as_options()
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=True)
        blocks.set_block_cache(CACHE)
        blocks.set_cache_index_and_filter_blocks(True)
        out.set_block_based_table_factory(blocks)
        out.set_write_buffer_manager(MEMTABLES)
        return out
