"""DataHub's change log in Kafka: Confluent's framing, Avro, schemas by their id."""

import asyncio
import logging
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx
import orjson
from cachetools import TTLCache
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.aio import AIOConsumer
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException

from dataspoke.adapters.datahub.events import UNREADABLE, event_of, is_own
from dataspoke.errors import (
    ConfigurationError,
    DataSpokeError,
    DependencyError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.ports.changes import Begin, Group, Kept, Partition
from dataspoke.ports.hub import EventPage, MetadataEvent, RejectedEvent, Topic
from dataspoke.settings import EventSettings, HubSettings

_log = logging.getLogger(__name__)

_PORT = "events"
_FRAME = struct.Struct(">bI")
# How long one call waits for changes: a worker that is asked to stop waits for it.
_WAIT_S = 0.5
_ANSWER_TIMEOUT_S = 10
# Who asks whether it is ready does not wait for longer.
_PING_TIMEOUT_S = 2.5
# How long an id that the registry does not know is not asked for again.
_UNKNOWN_FOR_S = 60
# Two, as what is called from within a callback takes another than the call that waits for it.
_THREADS = 2

_MEMBERSHIP = {
    # Acknowledged when it is done, not when it is handed out; told to the broker each second.
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 1000,
    # What is not there any more must not be passed over in silence.
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
    "allow.auto.create.topics": False,
    # Who died is missed after this, the least that brokers allow; until then nobody gets its part.
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 2000,
    # A topic that is made after a member has joined is seen after this.
    "topic.metadata.refresh.interval.ms": 5000,
}
# How to mend what Kafka refuses.
_REFUSALS = {
    KafkaError._AUTHENTICATION: "Look at DATASPOKE_EVENTS__SASL_USERNAME and _PASSWORD.",
    KafkaError._SSL: "Look at DATASPOKE_EVENTS__SSL_CA.",
    KafkaError.SASL_AUTHENTICATION_FAILED: "Look at DATASPOKE_EVENTS__SASL_USERNAME and _PASSWORD.",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Let DataSpoke's user read the topics.",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Let DataSpoke's user read as the groups dataspoke-*.",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "Look at DATASPOKE_EVENTS__VERSIONED_TOPIC and "
    "DATASPOKE_EVENTS__TIMESERIES_TOPIC.",
}


@asynccontextmanager
async def open_change_log(
    settings: EventSettings, hub: HubSettings
) -> AsyncIterator["KafkaChangeLog"]:
    """Yield the change log of these settings; neither broker nor registry need be reachable yet.

    Raises ConfigurationError where the settings name no broker.
    """
    url = settings.registry_url.get_secret_value()
    async with httpx.AsyncClient(timeout=_ANSWER_TIMEOUT_S) as http:
        registry = SchemaRegistry(http, url or f"{str(hub.url).rstrip('/')}/schema-registry/api")
        yield KafkaChangeLog(settings, registry)


class KafkaChangeLog:
    """The ChangeLog port. Nothing is connected to before it is used."""

    def __init__(self, settings: EventSettings, registry: "SchemaRegistry") -> None:
        self._registry = registry
        self._names = {
            Topic.VERSIONED: settings.versioned_topic,
            Topic.TIMESERIES: settings.timeseries_topic,
        }
        self._connection = _connection(settings)
        self._admin: AdminClient | None = None

    @asynccontextmanager
    async def join(
        self, group: Group, topics: Sequence[Topic], begin: Begin
    ) -> AsyncIterator["KafkaMember"]:
        names = {self._names[topic]: topic for topic in topics}
        configuration = {**self._connection, **_MEMBERSHIP, "group.id": str(group)}
        with ThreadPoolExecutor(_THREADS, thread_name_prefix=group) as threads:
            member = KafkaMember(self._registry, names, begin)
            try:
                await member.start(configuration, threads)
                yield member
            finally:
                await member.close()

    async def ping(self) -> None:
        if self._admin is None:
            self._admin = AdminClient(self._connection)
        try:
            there = await asyncio.to_thread(self._admin.list_topics, timeout=_PING_TIMEOUT_S)
        except KafkaException as error:
            raise _translated(error.args[0]) from error
        missing = [name for name in self._names.values() if name not in there.topics]
        if missing:
            raise DependencyRejected(
                _PORT,
                f"Kafka has no topic {' and no '.join(missing)}; look at "
                "DATASPOKE_EVENTS__VERSIONED_TOPIC and DATASPOKE_EVENTS__TIMESERIES_TOPIC.",
            )


class KafkaMember:
    """The Member port. The offsets that count are those of ``begin``, never the broker's."""

    def __init__(
        self, registry: "SchemaRegistry", names: Mapping[str, Topic], begin: Begin
    ) -> None:
        self._registry = registry
        self._names = names
        self._begin = begin
        self._consumer: AIOConsumer | None = None
        self._down = False
        self._failure: DataSpokeError | None = None

    async def start(self, configuration: Mapping[str, Any], threads: ThreadPoolExecutor) -> None:
        """Ask to be a member."""
        self._consumer = AIOConsumer(
            {**configuration, "error_cb": self._on_error}, executor=threads
        )
        await self._consumer.subscribe(list(self._names), on_assign=self._on_assign)

    async def close(self) -> None:
        """Tell the broker what was acknowledged, and leave."""
        if self._consumer is not None:
            await self._consumer.close()

    async def receive(self, limit: int) -> Sequence[tuple[Partition, EventPage]]:
        messages = await self._messages(limit)
        by_partition: dict[Partition, list[Message]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                raise _translated(error)
            partition = Partition(self._names[message.topic() or ""], message.partition() or 0)
            by_partition.setdefault(partition, []).append(message)
        return [(partition, await self._page(found)) for partition, found in by_partition.items()]

    async def acknowledge(self, partition: Partition, page: EventPage) -> None:
        assert self._consumer is not None  # noqa: S101  started before it is handed out
        name = next(name for name, topic in self._names.items() if topic is partition.topic)
        try:
            await self._consumer.store_offsets(
                offsets=[TopicPartition(name, partition.number, int(page.cursor))]
            )
        except KafkaException as error:
            # It went to another member meanwhile.
            _log.debug("Kafka: not acknowledged: %s", error)

    async def _messages(self, limit: int) -> list[Message]:
        assert self._consumer is not None  # noqa: S101
        try:
            # ``consume`` waits until it has all that it is asked for.
            first = await self._consumer.poll(_WAIT_S)
            rest = [] if first is None else await self._consumer.consume(limit - 1, 0)
        except KafkaException as error:
            raise _translated(error.args[0]) from error
        if self._failure is not None:
            raise self._failure
        if first is None:
            return []
        if self._down:
            self._down = False
            _log.info("Kafka: goes on")
        return [first, *rest]

    async def _on_assign(self, consumer: AIOConsumer, partitions: list[TopicPartition]) -> None:
        """Take the partitions at the offsets where the work stands."""
        try:
            for one in partitions:
                kept = await consumer.get_watermark_offsets(one, timeout=_ANSWER_TIMEOUT_S)
                partition = Partition(self._names[one.topic], one.partition)
                one.offset = await self._begin(partition, Kept(*kept))
        except DataSpokeError as error:
            self._failure = error
        except KafkaException as error:
            self._failure = _translated(error.args[0])
        # Nothing is read where that failed: the member is about to leave.
        await consumer.incremental_assign([] if self._failure else partitions)

    async def _on_error(self, error: KafkaError) -> None:
        if error.code() in _REFUSALS or error.fatal():
            self._failure = _translated(error)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and not self._down:
            # It stays a member, and asks for them until they are back.
            self._down = True
            _log.warning("Kafka: interrupted: no broker answers")

    async def _page(self, messages: Sequence[Message]) -> EventPage:
        events: list[MetadataEvent] = []
        rejected: list[RejectedEvent] = []
        for message in messages:
            value = message.value()
            if value is None:
                continue  # the mark of a deletion, in a topic that is compacted
            try:
                event = event_of(await self._registry.decoded(value))
            except UNREADABLE as error:
                text = f"{message.partition()}:{message.offset()} {b64encode(value).decode()}"
                rejected.append(RejectedEvent(text, f"Not a MetadataChangeLog: {error}"))
            else:
                if not is_own(event):
                    events.append(event)
        return EventPage(str((messages[-1].offset() or 0) + 1), tuple(events), tuple(rejected))


class SchemaRegistry:
    """Schemas by their id, as Confluent's API hands them out; each is asked for once."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._schemas: dict[int, Any] = {}
        self._unknown: TTLCache[int, None] = TTLCache(maxsize=1000, ttl=_UNKNOWN_FOR_S)

    async def decoded(self, value: bytes) -> Any:
        """Return what a framed value says.

        Raises ValueError where it is not framed, broken, or of a schema that the registry does not
        know; DependencyError where the registry fails.
        """
        if len(value) < _FRAME.size or value[0] != 0:
            raise ValueError("it does not begin with the id of a schema")
        _, schema_id = _FRAME.unpack_from(value)
        schema = await self._schema(schema_id)
        stream = BytesIO(value[_FRAME.size :])
        try:
            record = schemaless_reader(stream, schema)
        except Exception as error:  # whatever broken bytes lead to
            raise ValueError(f"it is not of schema {schema_id}: {error!r}") from error
        if stream.read(1):
            raise ValueError(f"it goes on where schema {schema_id} ends")
        return record

    async def _schema(self, schema_id: int) -> Any:
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        if schema_id in self._unknown:
            raise ValueError(f"the registry knows no schema {schema_id}")
        answer = await self._get(f"schemas/ids/{schema_id}")
        if answer is None:
            # That may be said by what is no registry, and then nothing must be lost.
            if not isinstance(await self._get("subjects"), list):
                raise self._no_registry()
            self._unknown[schema_id] = None
            raise ValueError(f"the registry knows no schema {schema_id}")
        try:
            schema = parse_schema(orjson.loads(answer["schema"]))
        except (KeyError, TypeError, ValueError, SchemaParseException) as error:
            raise self._no_registry() from error
        self._schemas[schema_id] = schema
        return schema

    async def _get(self, path: str) -> Any:
        """Return the JSON at a path, None where there is nothing."""
        try:
            answer = await self._http.get(f"{self._url}/{path}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            answer.raise_for_status()
            return orjson.loads(answer.content)
        except httpx.TimeoutException as error:
            raise DependencyTimeout(_PORT, "The schema registry did not answer in time.") from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise DependencyUnavailable(
                    _PORT, f"The schema registry failed with status {status}."
                ) from error
            raise DependencyRejected(
                _PORT,
                f"The schema registry refuses to answer (status {status}); look at "
                "DATASPOKE_EVENTS__REGISTRY_URL.",
            ) from error
        except httpx.HTTPError as error:
            raise DependencyUnavailable(
                _PORT, "The schema registry cannot be reached; changes wait for it."
            ) from error
        except ValueError as error:
            raise self._no_registry() from error

    def _no_registry(self) -> DependencyError:
        return DependencyRejected(
            _PORT, "What answered is no schema registry; look at DATASPOKE_EVENTS__REGISTRY_URL."
        )


def _connection(settings: EventSettings) -> dict[str, Any]:
    if not settings.bootstrap_servers:
        raise ConfigurationError(
            "DATASPOKE_EVENTS__BOOTSTRAP_SERVERS is missing: give the brokers of DataHub's Kafka, "
            "or leave DATASPOKE_EVENTS__KIND at poll."
        )
    connection: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "client.id": "dataspoke",
        "reconnect.backoff.max.ms": 2000,
        # What is wrong is told by errors.
        "log_level": 0,
    }
    if settings.security_protocol.startswith("SASL"):
        connection |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": settings.sasl_password.get_secret_value(),
        }
    if settings.ssl_ca:
        connection["ssl.ca.location"] = settings.ssl_ca
    return connection


def _translated(error: KafkaError) -> DependencyError:
    code, words = error.code(), error.str()
    if code in _REFUSALS:
        return DependencyRejected(_PORT, f"Kafka refuses: {words}. {_REFUSALS[code]}")
    if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        return DependencyUnavailable(_PORT, f"Changes were deleted before they were read: {words}.")
    if code in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
        return DependencyTimeout(_PORT, "Kafka did not answer in time.")
    return DependencyUnavailable(_PORT, f"Kafka fails: {words}.")
