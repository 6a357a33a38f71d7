"""Log ends are kept as small differences, and come back as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kroute.signals.history import UNKNOWN, EndHistory

END = st.one_of(st.just(UNKNOWN), st.integers(0, 2**33), st.integers(2**62, 2**62 + 1000))
WIDTH = 3


@given(st.lists(st.lists(END, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=20), st.data())
def test_every_point_comes_back_as_it_was_whatever_its_size(points: list[list[int]], data: st.DataObject) -> None:
    history, model = EndHistory(WIDTH), []
    for i, ends in enumerate(points):
        history.add(1000 * i, np.array(ends, np.int64))
        model.append(list(ends))
        if data.draw(st.booleans()):
            forgotten = data.draw(st.integers(0, WIDTH - 1))
            history.restart(np.arange(WIDTH) == forgotten)
            for row in model:
                row[forgotten] = UNKNOWN
    assert history.rows(0, history.n).tolist() == model
    again = EndHistory(0)
    again.load(
        [(t, slot, history.row(i)) for i, (t, slot) in enumerate(zip(history.t, history.slots, strict=True))], history.holes
    )
    assert [again.row(i).tolist() for i in range(again.n)] == model


def test_a_point_that_lacked_a_partition_is_filled_up_later() -> None:
    history = EndHistory(2)
    history.add(1000, np.array([7, UNKNOWN]))
    history.fill(0, np.array([1]), np.array([9]))
    history.widen(3)
    history.add(2000, np.array([8, 10, 5]))
    assert history.rows(0, 2).tolist() == [[7, 9, UNKNOWN], [8, 10, 5]]


def test_an_end_takes_four_bytes_until_one_is_too_far_from_the_first() -> None:
    history = EndHistory(2)
    for i in range(64):
        history.add(1000 * i, np.array([2**40 + i, i]))
    assert history._kept.nbytes == 64 * 2 * 4
    history.add(64_000, np.array([2**40 + 2**32, 64]))
    assert history._kept.nbytes == 64 * 2 * 8
    assert history.row(63).tolist() == [2**40 + 2**32, 64]
