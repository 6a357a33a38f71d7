"""Local stores keep to one budget of memory, however many databases there are."""

import time
from pathlib import Path
from random import Random

from kroute.stream.store import CACHE, CACHE_BYTES, MEMTABLE_BYTES, MEMTABLES, WRITE_BUFFER_BYTES, StoreOptions

DATABASES = 72
"""Nine tables of eight partitions."""
ROWS = 80
ROW = Random(7).randbytes(16_384)


def test_the_databases_of_a_worker_share_one_budget_of_memory(tmp_path: Path) -> None:
    assert ROWS * len(ROW) < WRITE_BUFFER_BYTES * 0.9, "none would be written out for its own size"
    assert DATABASES * ROWS * len(ROW) > 1.4 * MEMTABLE_BYTES
    dbs = [StoreOptions().open(tmp_path / str(i)) for i in range(DATABASES)]
    try:
        for n in range(ROWS):
            for db in dbs:
                db.put(b"row-%d" % n, ROW)
        assert MEMTABLES.get_usage() > MEMTABLE_BYTES / 2, "it counts them"
        end = time.monotonic() + 30
        while MEMTABLES.get_usage() > MEMTABLE_BYTES and time.monotonic() < end:
            dbs[0].put(b"row-0", ROW)
            time.sleep(0.05)
        assert MEMTABLES.get_usage() <= MEMTABLE_BYTES
        for db in dbs:
            assert all(db.get(b"row-%d" % n) == ROW for n in range(ROWS))
        assert CACHE.get_usage() < CACHE_BYTES * 1.5, "memtables included"
    finally:
        for db in dbs:
            db.close()
