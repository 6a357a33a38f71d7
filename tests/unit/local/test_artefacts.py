"""The cache of jars: found again, healed after an interrupted download, clear when it cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kroute.errors import LocalKafkaError
from kroute.local import artefacts

_calls: list[tuple[str, ...]] = []


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are replaced by small files of the same names."""
    _calls.clear()

    def jars(repo: Path, coordinates: Sequence[str], *, transitive: bool) -> list[Path]:
        _calls.append(tuple(coordinates))
        out = []
        for c in coordinates:
            path = repo / f"{c.replace(':', '-')}.jar"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(c)
            out.append(path)
        return out

    monkeypatch.setattr(artefacts, "_jars", jars)
    monkeypatch.setattr(artefacts, "_java", lambda: Path("/java"))


def test_what_was_resolved_once_is_not_fetched_again(tmp_path: Path) -> None:
    first = artefacts.resolve(tmp_path)
    fetched = len(_calls)
    assert fetched > 0
    assert artefacts.resolve(tmp_path) == first
    assert len(_calls) == fetched
    assert [p.name for p in (first.plugins / "connect-file").iterdir()]


def test_a_cache_that_was_moved_still_works(tmp_path: Path) -> None:
    artefacts.resolve(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = artefacts.resolve(tmp_path / "there")
    assert str(tmp_path / "there") in moved.options_file.read_text()
    assert str(tmp_path / "here") not in moved.options_file.read_text()


def test_a_damaged_jar_is_fetched_again(tmp_path: Path) -> None:
    first = artefacts.resolve(tmp_path)
    first.classpath[0].write_text("")
    assert artefacts.resolve(tmp_path).classpath[0].read_text()


def test_after_an_interrupted_download_it_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(repo: Path, coordinates: Sequence[str], *, transitive: bool) -> list[Path]:
        repo.mkdir(parents=True)
        (repo / "half.jar").write_text("ha")
        raise TimeoutError("read timed out")

    with monkeypatch.context() as m:
        m.setattr(artefacts, "_jars", cut)
        with pytest.raises(LocalKafkaError, match=r"could not be fetched.*TimeoutError: read timed out.*KROUTE_BOOTSTRAP"):
            artefacts.resolve(tmp_path)
    found = artefacts.resolve(tmp_path)
    assert found.classpath
    assert not list(tmp_path.glob("**/half.jar"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalKafkaError, match=r"cache folder .*file.* cannot be used.*KROUTE_CACHE"):
        artefacts.resolve(tmp_path / "file")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KROUTE_CACHE", "~/elsewhere")
    assert artefacts.cache_dir() == Path.home() / "elsewhere"
