"""Apache Ignite: one node, or a small cluster of them.

Maven gets Ignite's jars once and keeps them in a folder of the user's cache, together with the
compiled `IgniteNode.java`, which configures and starts a node, and an archive of the classes that a
node loads, with which it starts in half of the time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.process import Server, ServerGroup, url_of
from ojobchannels.testing.servers.programs import Flavour, ServerMissing, find

VERSION: Final = os.environ.get("OJOBCHANNELS_TEST_IGNITE_VERSION", "2.17.0")
FLAVOURS: Final = (Flavour("ignite", "java", "", "apt-get install openjdk-17-jdk-headless maven"),)
ENVIRONMENT: Final = "OJOBCHANNELS_TEST_IGNITE"

_SOURCE: Final = Path(__file__).with_name("IgniteNode.java")
_MODULES: Final = ("ignite-core", "ignite-indexing")
_PATIENCE: Final = 600
_OPENED: Final = """
java.base/java.io java.base/java.lang java.base/java.lang.invoke java.base/java.math
java.base/java.net java.base/java.nio java.base/java.text java.base/java.time java.base/java.util
java.base/java.util.concurrent java.base/java.util.concurrent.atomic
java.base/java.util.concurrent.locks java.base/jdk.internal.access java.base/jdk.internal.misc
java.base/sun.nio.ch java.base/sun.reflect.generics.reflectiveObjects java.base/sun.util.calendar
java.desktop/java.awt.font java.management/com.sun.jmx.mbeanserver java.management/sun.management
java.sql/java.sql jdk.internal.jvmstat/sun.jvmstat.monitor
jdk.management/com.sun.management.internal
""".split()
"""The packages of the JDK that Ignite reaches into."""
_JVM: Final = (
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms32m", "-Xmx512m", "-Xss512k"),
    "-XX:+IgnoreUnrecognizedVMOptions",  # an old JVM has no archives
    "-Djava.net.preferIPv4Stack=true",
    *("-DIGNITE_QUIET=true", "-DIGNITE_NO_ASCII=true", "-DIGNITE_UPDATE_NOTIFIER=false"),
    "-DIGNITE_PERFORMANCE_SUGGESTIONS_DISABLED=true",
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
)


class IgniteServer(Server):
    """An Ignite node that keeps its data in memory, unless it is `persistent`.

    Args:
        persistent: Whether its data survives a kill and a restart.
        authentication: Whether clients log in, as the user ``ignite`` with the password
            ``ignite``; Ignite knows users on persistent nodes only.
        certificates: Accept only TLS connections with a client certificate.
        port: A TCP port; by default a free one.
        timezone: The time zone of its clock in SQL.
        failure_detection: Seconds without a reply after which a node counts as failed.

    Attributes:
        routes: By an inner port of another node, the port to connect to in its place, such as that
            of a proxy.

    Raises:
        ServerMissing: Java, Maven or Ignite is not installed.
    """

    channel_type = "ignite"
    marker = b'"fence":'

    def __init__(
        self,
        *,
        persistent: bool = False,
        authentication: bool = False,
        certificates: Certificates | None = None,
        port: int = 0,
        timezone: str = "UTC",
        failure_detection: float = 3.0,
    ) -> None:
        super().__init__(*find(FLAVOURS))
        self.persistent = persistent or authentication
        self.authentication = authentication
        self._certificates = certificates
        self._number = port
        self._timezone = timezone
        self._failure_detection = failure_detection
        self.routes: dict[int, int] = {}
        self._inner: list[ReservedPort] = []
        self._peers: Sequence[IgniteServer] = (self,)
        self._jars = jars()

    @property
    def inner_ports(self) -> tuple[int, int]:
        """The ports for the other nodes: of discovery, and of communication."""
        discovery, communication = self._inner
        return discovery.number, communication.number

    def url_at(self, address: tuple[str, int]) -> str:
        """Return the URL for another address; with TLS, the client adds tls_ca and tls_cert."""
        login = "ignite:ignite@" if self.authentication else ""
        scheme = "ignites" if self._certificates else "ignite"
        return f"{scheme}://{login}{address[0]}:{address[1]}"

    def join(self, peers: Sequence[IgniteServer]) -> None:
        """Make the node a member of the cluster of these nodes, which are all prepared."""
        self._peers = peers

    def prepare(self) -> None:
        """Reserve the ports, which the nodes of a cluster need to find each other."""
        self._prepare()

    def is_ready(self) -> bool:
        """Return whether the node has joined its cluster and serves clients."""
        return self._ready.exists()

    def stop(self) -> None:
        """Stop the node and remove its folder; do nothing if that is done already."""
        super().stop()
        while self._inner:
            self._inner.pop().release()

    @property
    def _ready(self) -> Path:
        return self.folder / "ready"

    def _reserve(self) -> ReservedPort:
        return ReservedPort(self._number)

    def _prepare(self) -> None:
        super()._prepare()
        while len(self._inner) < 2:
            self._inner.append(ReservedPort())

    def _command(self) -> list[str]:
        self._ready.unlink(missing_ok=True)
        discovery, communication = self.inner_ports
        peers = ",".join(f"{HOST}:{peer.inner_ports[0]}" for peer in self._peers)
        properties = {
            "folder": self.folder,
            "port": self.port,
            "discovery": discovery,
            "communication": communication,
            "peers": peers,
            "routes": ",".join(f"{port}:{other}" for port, other in self.routes.items()),
            "failure": round(self._failure_detection * 1000),
            "persistent": str(self.persistent).lower(),
            "authentication": str(self.authentication).lower(),
            **self._key_stores(),
        }
        settings = [f"-Dnode.{name}={value}" for name, value in properties.items()]
        settings.append(f"-Duser.timezone={self._timezone}")
        files = [_jar(self._jars), *sorted(self._jars.glob("*.jar"))]
        classpath = os.pathsep.join(map(str, files))
        return [*_JVM, self._sharing(), *settings, "-cp", classpath, _SOURCE.stem]

    def _sharing(self) -> str:
        """Return the option of the JVM for its archive of classes."""
        return f"-XX:SharedArchiveFile={archive(self._jars)}"

    def _key_stores(self) -> dict[str, str]:
        if self._certificates is None:
            return {}
        password = secrets.token_hex(8)
        keys, trusted = self._certificates.key_stores(self.folder, password)
        return {"keys": str(keys), "trusted": str(trusted), "password": password}


class _RecordedServer(IgniteServer):
    """A node whose JVM writes the archive when it ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(persistent=True)
        self._path = path

    def _sharing(self) -> str:
        return f"-XX:ArchiveClassesAtExit={self._path}"


class IgniteCluster(ServerGroup):
    """Nodes that find each other.

    Args:
        size: How many nodes.
        persistent: As for `IgniteServer`.
        failure_detection: As for `IgniteServer`.

    Attributes:
        nodes: The servers.
    """

    channel_type = "ignite"

    def __init__(
        self, size: int = 3, *, persistent: bool = False, failure_detection: float = 3.0
    ) -> None:
        self.nodes = tuple(
            IgniteServer(persistent=persistent, failure_detection=failure_detection)
            for _ in range(size)
        )
        for node in self.nodes:
            node.join(self.nodes)
        self._next = cycle(self.nodes)

    @property
    def url(self) -> str:
        """The URL that names all nodes."""
        return "ignite://" + ",".join(f"{host}:{port}" for host, port in self.addresses)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each node."""
        return [node.address for node in self.nodes]

    @property
    def options(self) -> dict[str, Any]:
        """The URL."""
        return {"url": self.url}

    @property
    def label(self) -> str:
        """A name for reports."""
        return f"{len(self.nodes)} nodes"

    @property
    def faults(self) -> Mapping[str, Callable[[], object]]:
        """The death of a node."""
        return {"node": self.replace_node}

    def replace_node(self) -> None:
        """Kill a node, each time another one, and start it again."""
        node = next(self._next)
        node.kill()
        node.start()

    def _start(self, starting: ExitStack) -> None:
        for node in self.nodes:
            starting.callback(node.stop)
            node.prepare()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Server.start, self.nodes))


def jars() -> Path:
    """Return the folder with Ignite's jars and the compiled program; make it if necessary.

    Processes that start at once wait for the first one; later ones need no network.

    Raises:
        ServerMissing: Maven is not installed, or cannot get the jars.
    """
    text = _SOURCE.read_bytes()
    digest = hashlib.sha256(text + " ".join((VERSION, *_MODULES)).encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ojobchannels"
    folder = cache / f"ignite-{VERSION}-{digest[:12]}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache) as made:
                _fill(Path(made))
                shutil.copytree(made, f"{made}-whole")
            Path(f"{made}-whole").rename(folder)
    return folder


def archive(jars: Path) -> Path:
    """Return the archive of the classes that a node loads; make it if necessary.

    A JVM that cannot use it, such as one of another version, loads the classes itself.

    Args:
        jars: The folder with the jars and the compiled program.
    """
    path = jars.with_name(f"{jars.name}.jsa")
    if not path.exists():
        with _alone(jars.parent):
            if not path.exists():
                _record(jars, path)
    return path


def _record(jars: Path, path: Path) -> None:
    with zipfile.ZipFile(_jar(jars), "w") as jar:  # an archive has no classes of a folder
        for file in jars.glob("*.class"):
            jar.write(file, file.name)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        with _RecordedServer(made) as node:
            node.shut_down(_PATIENCE)
        made.touch()  # empty if the JVM cannot write one
        made.rename(path)


def _jar(jars: Path) -> Path:
    """Return the path of the jar with the compiled program."""
    return jars.with_name(f"{jars.name}.jar")


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Have other processes that make something in the cache wait."""
    with (cache / "ignite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(folder: Path) -> None:
    project = folder / "pom.xml"
    project.write_text(_pom())
    copy = f"-DoutputDirectory={folder}"
    _run("mvn", "-q", "-B", "-f", str(project), "dependency:copy-dependencies", copy)
    project.unlink()
    _run("javac", "-cp", f"{folder}{os.sep}*", "-d", str(folder), str(_SOURCE))


def _run(program: str, *arguments: str) -> None:
    command = FLAVOURS[0].command
    if shutil.which(program) is None:
        raise ServerMissing(f"{program}, for Apache Ignite,", command)
    done = subprocess.run(  # noqa: S603  a program that was found
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-5:])
        needs = f"{command}  # and a connection to Maven Central for `{program}`, which ended with"
        raise ServerMissing(f"Apache Ignite {VERSION}", f"{needs}:\n{end}")


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>org.apache.ignite</groupId><artifactId>{module}</artifactId>"
        f"<version>{VERSION}</version></dependency>"
        for module in _MODULES
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>ojobchannels</groupId><artifactId>node</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def ignite_url() -> AbstractContextManager[str]:
    """Yield the URL in OJOBCHANNELS_TEST_IGNITE, or that of a node for the `with` block.

    Raises:
        ServerMissing: The variable is not set, and Ignite cannot be started.
    """
    return url_of(ENVIRONMENT, IgniteServer)
