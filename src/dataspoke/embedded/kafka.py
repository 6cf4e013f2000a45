"""Kafka in KRaft mode, on the Java of this machine: fetched once from Maven Central.

``python -m dataspoke.embedded.kafka`` fetches it; without it the tests that need it are skipped.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from dataspoke.embedded.child import Child, accepts_connections, free_port
from dataspoke.errors import ConfigurationError, DependencyUnavailable

_VERSION = "4.1.0"
_BROKER_JAR = f"kafka_2.13-{_VERSION}.jar"
_OLDEST_JAVA = 17
_DOWNLOAD_TIMEOUT_S = 600
_START_TIMEOUT_S = 60
_PROBE_TIMEOUT_S = 2
_HEAP = "-Xmx512m"
# It starts in half the time, and is asked for little afterwards.
_QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

Progress = Callable[[str], None]


def default_directory() -> Path:
    """Return the folder of the jars under the user's cache, so that every checkout shares it."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dataspoke" / f"kafka-{_VERSION}" / "libs"


def java() -> str:
    """Return the machine's Java; raises ConfigurationError where it has none of release 17."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None or _release(found) < _OLDEST_JAVA:
        raise ConfigurationError(
            f"Kafka needs Java {_OLDEST_JAVA} or later: install it, or name the one you have by "
            "JAVA_HOME."
        )
    return found


def require_jars(directory: Path) -> None:
    """Raise ConfigurationError where Kafka was not fetched into ``directory``."""
    if not (directory / _BROKER_JAR).exists():
        raise ConfigurationError(f"There is no Kafka in {directory}: fetch it with `make kafka`.")


def fetch(directory: Path, progress: Progress) -> None:
    """Fill ``directory`` with Kafka's jars, or leave it as it is where they are there.

    Nothing half-fetched is ever seen in it. Raises ConfigurationError where Java or Maven is
    missing, DependencyUnavailable where Maven cannot fetch it.
    """
    java()
    if (directory / _BROKER_JAR).exists():
        progress(f"Kafka {_VERSION} is there: {directory}")
        return
    program = shutil.which("mvn")
    if program is None:
        raise ConfigurationError("Kafka is fetched by Maven, which is not installed: install it.")
    progress(f"Fetching Kafka {_VERSION} (43 MB, by Maven) …")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=directory.parent, prefix=".fetching-") as folder,
        as_file(files("dataspoke.embedded") / "kafka.pom.xml") as pom,
    ):
        staged = Path(folder) / "libs"
        # Beside a copy: Maven keeps notes in the folder of the file.
        shutil.copy(pom, Path(folder) / "pom.xml")
        _copy_dependencies(program, Path(folder), staged)
        try:
            staged.rename(directory)
        except OSError:
            require_jars(directory)  # Somebody else was faster: theirs is as good.
    progress(f"Kafka {_VERSION} is in {directory}")


def _copy_dependencies(program: str, folder: Path, staged: Path) -> None:
    command = [program, "--batch-mode", "--quiet", "dependency:copy-dependencies"]
    try:
        ended = subprocess.run(
            [*command, f"-DoutputDirectory={staged}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyUnavailable("kafka", f"Maven did not finish: {error}.") from error
    if ended.returncode != 0 or not (staged / _BROKER_JAR).exists():
        said = (ended.stdout + ended.stderr).strip().splitlines()[:1]
        raise DependencyUnavailable(
            "kafka",
            f"Maven could not fetch Kafka: {' '.join(said)} Run `make kafka` again where Maven "
            "Central, or a mirror that Maven knows, can be reached.",
        )


def _release(program: str) -> int:
    try:
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else 0


class Kafka:
    """One broker on loopback, its own controller. Topics are made by whoever writes to them."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        """Start it; raises DependencyUnavailable where it does not start.

        Raises ConfigurationError where Java or Kafka itself is missing. A second start in the same
        folder finds its topics there.
        """
        self._java = java()
        self._jars = default_directory()
        require_jars(self._jars)
        self._directory = directory
        self.port = free_port(port)
        directory.mkdir(parents=True, exist_ok=True)
        self._properties = directory / "server.properties"
        self._properties.write_text(self._configuration(free_port()))
        if not (directory / "data" / "meta.properties").exists():
            self._format()
        self.child = self.start()

    def start(self) -> Child:
        """Start it, again where it has ended, under the same address; returns when it is ready."""
        options = [_HEAP, *_QUICK_START, _QUIET, f"-Dkafka.logs.dir={self._directory}"]
        self.child = self._run("kafka", *options, "kafka.Kafka", str(self._properties))
        self.child.wait_until(self._answers, _START_TIMEOUT_S)
        return self.child

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.child.stop()

    def _run(self, name: str, *arguments: str) -> Child:
        command = [self._java, "-cp", f"{self._jars}/*", *arguments]
        return Child(name, command, self._directory / f"{name}.log")

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A name that began with a dash would be read as an option.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id=k{cluster[1:]}"]
        self._run(
            "kafka-format", *_QUICK_START, _QUIET, *tool, "-c", str(self._properties)
        ).wait_for_success(_START_TIMEOUT_S)

    def _answers(self) -> bool:
        if not accepts_connections(self.port):
            return False
        # Its port is open before it serves.
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            client.list_topics(timeout=_PROBE_TIMEOUT_S)
        except KafkaException:
            return False
        return True

    def _configuration(self, controller_port: int) -> str:
        own, controller = self.bootstrap_servers, f"127.0.0.1:{controller_port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{own},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{own}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": (self._directory / "data").resolve(),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # After a crash it is taken back as soon as it is missed.
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 2000,
            # A group of one is complete as soon as it is there.
            "group.initial.rebalance.delay.ms": 0,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def main() -> int:
    """Fetch Kafka; says what is missing, which is an error only where CI is set."""
    try:
        fetch(default_directory(), lambda line: print(line, flush=True))  # noqa: T201
    except (ConfigurationError, DependencyUnavailable) as error:
        print(f"{error.public_message} Until then tests skip it.", file=sys.stderr)  # noqa: T201
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
