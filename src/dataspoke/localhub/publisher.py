"""The change log in a Kafka broker: typed, framed and keyed as DataHub does it."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from io import BytesIO
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from fastavro import parse_schema, schemaless_writer

from dataspoke.errors import ConfigurationError, DependencyUnavailable
from dataspoke.localhub.records import Event, Topic
from dataspoke.localhub.registry import schema_ids, schema_of
from dataspoke.localhub.storage import Storage

_log = logging.getLogger(__name__)

_PAGE = 500
_ADMIN_TIMEOUT_S = 10
_PAUSE_S = 1.0
# Confluent's framing: a byte that is 0, and the id of the schema.
_FRAME = struct.Struct(">bI")


class Publisher:
    """Writes every change to the broker, in order and at least once, and goes on at a restart."""

    def __init__(self, storage: Storage, bootstrap_servers: str) -> None:
        self._storage = storage
        self._servers = bootstrap_servers
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 0,
                # What is wrong is told by errors.
                "log_level": 0,
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish while inside.

        Raises ConfigurationError where no broker answers at the start; later it waits for one.
        """
        await asyncio.to_thread(self._make_topics)
        following = [asyncio.create_task(self._follow(topic)) for topic in Topic]
        try:
            yield
        finally:
            for one in following:
                one.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, topic: Topic) -> None:
        loop, written = asyncio.get_running_loop(), asyncio.Event()
        # Listening starts before the first look, so that no write falls between the two.
        with self._storage.notified(lambda: loop.call_soon_threadsafe(written.set)):
            after = self._storage.published(topic)
            while True:
                written.clear()
                try:
                    events = await asyncio.to_thread(self._publish, topic, after)
                except DependencyUnavailable as error:
                    _log.warning("%s: %s", topic, error.public_message)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if events:
                    after = events[-1].position
                else:
                    await written.wait()

    def _publish(self, topic: Topic, after: int) -> Sequence[Event]:
        events = self._storage.events(topic, after, _PAGE)
        if not events:
            return events
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        schema_id = schema_ids(topic)[-1]
        for event in events:
            self._producer.produce(
                topic,
                value=framed(schema_id, change_log(event)),
                key=event.urn.encode(),
                on_delivery=delivered,
            )
        if self._producer.flush() or failures:
            raise DependencyUnavailable("kafka", f"Changes could not be published: {failures}.")
        self._storage.note_published(topic, events[-1].position)
        return events

    def _make_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
        try:
            there = admin.list_topics(timeout=_ADMIN_TIMEOUT_S).topics
            missing = [NewTopic(topic, num_partitions=1) for topic in Topic if topic not in there]
            if missing:
                for future in admin.create_topics(missing).values():
                    future.result(_ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise ConfigurationError(
                f"No Kafka broker answers at {self._servers} ({error.args[0].str()}): start it, "
                "or leave --kafka out."
            ) from error


def change_log(event: Event) -> dict[str, Any]:
    """Return a MetadataChangeLog as Avro writes it."""
    metadata = event.system_metadata
    return {
        "entityType": event.type,
        "entityUrn": event.urn,
        "changeType": event.change,
        "aspectName": event.aspect,
        "aspect": _generic_aspect(event.value),
        "systemMetadata": {
            "lastObserved": metadata.get("lastObserved"),
            **{
                name: metadata.get(name)
                for name in (
                    "runId",
                    "lastRunId",
                    "pipelineName",
                    "registryName",
                    "registryVersion",
                    "properties",
                    "version",
                    "schemaVersion",
                )
            },
        },
        "headers": event.headers or None,
        "previousAspectValue": _generic_aspect(event.previous),
        "created": {"time": event.created_ms, "actor": event.actor},
    }


def framed(schema_id: int, record: dict[str, Any]) -> bytes:
    """Return a record as a value of a topic: the schema's id, and what it makes of the record.

    Fields that the schema does not know are left out.
    """
    out = BytesIO()
    out.write(_FRAME.pack(0, schema_id))
    schemaless_writer(out, _parsed(schema_id), record)
    return out.getvalue()


@cache
def _parsed(schema_id: int) -> Any:
    return parse_schema(orjson.loads(schema_of(schema_id)))


def _generic_aspect(value: str | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value.encode(), "contentType": "application/json"}
