"""What a local broker is configured with."""

from __future__ import annotations

from kroute.local.broker import new_cluster_id


def test_a_cluster_id_never_looks_like_an_option() -> None:
    """``kafka-storage format -t -x9…`` takes the id for an option: one in 64 random ids would begin so."""
    made = [new_cluster_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert not [i for i in made if i.startswith("-")]
    assert {len(i) for i in made} == {22}
