"""Changes in a real Kafka broker, in topics of a test's own."""

import asyncio
import itertools
import os
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dataspoke.embedded import kafka as embedded_kafka
from dataspoke.embedded.kafka import Kafka
from dataspoke.errors import ConfigurationError
from dataspoke.localhub.publisher import framed
from dataspoke.localhub.registry import schema_ids
from dataspoke.ports.changes import Group
from dataspoke.ports.hub import MetadataEvent, Topic
from dataspoke.settings import EventSettings

_TIMEOUT_S = 30


def require_kafka() -> None:
    """Skip the test where Kafka or Java is missing, except under CI, where they have to be."""
    try:
        embedded_kafka.java()
        embedded_kafka.require_jars(embedded_kafka.default_directory())
    except ConfigurationError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.public_message)


class Broker:
    """Two empty topics, and what a test writes to them and asks about them."""

    def __init__(self, kafka: Kafka, partitions: int = 1) -> None:
        self.kafka = kafka
        own = uuid4().hex[:8]
        self.names = {topic: f"{topic}_{own}" for topic in Topic}
        self.settings = EventSettings(
            kind="kafka",
            bootstrap_servers=kafka.bootstrap_servers,
            versioned_topic=self.names[Topic.VERSIONED],
            timeseries_topic=self.names[Topic.TIMESERIES],
        )
        self._client = {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}
        self._admin = AdminClient(self._client)
        self._producer = Producer({**self._client, "linger.ms": 0})
        made = self._admin.create_topics(
            [NewTopic(name, num_partitions=partitions) for name in self.names.values()]
        )
        for future in made.values():
            future.result(_TIMEOUT_S)

    def write(self, topic: Topic, *values: bytes | None, key: str = "") -> None:
        """Append values, whatever they are; returns when the broker has them."""
        for value in values:
            self._producer.produce(self.names[topic], value=value, key=key.encode())
        assert self._producer.flush(_TIMEOUT_S) == 0

    def emit(self, topic: Topic, *events: MetadataEvent, schema_id: int | None = None) -> None:
        """Append changes as DataHub writes them."""
        chosen = schema_id if schema_id is not None else schema_ids(topic)[-1]
        for event in events:
            self.write(topic, framed(chosen, _record(event)), key=event.urn)

    def forget(self, topic: Topic, before: int) -> None:
        """Delete the changes before an offset, as the broker does with what is too old."""
        place = TopicPartition(self.names[topic], 0, before)
        for future in self._admin.delete_records([place]).values():
            future.result(_TIMEOUT_S)

    async def acknowledged(self, group: Group, topic: Topic) -> int:
        """Return the offset that the broker remembers of a group; below 0 for none."""
        consumer = Consumer({**self._client, "group.id": str(group)})
        try:
            (place,) = await asyncio.to_thread(
                consumer.committed, [TopicPartition(self.names[topic], 0)], _TIMEOUT_S
            )
        finally:
            consumer.close()
        return int(place.offset)


_positions = itertools.count(1)


def _record(event: MetadataEvent) -> dict[str, object]:
    return {
        "entityType": event.entity_type,
        "entityUrn": event.urn,
        "changeType": event.change,
        "aspectName": event.aspect,
        "aspect": {"value": b'{"name": "orders"}', "contentType": "application/json"},
        "systemMetadata": {"lastObserved": next(_positions), "runId": event.run_id},
        "headers": {"X-DataHub-Sync-Index-Update": "true"},
        "created": {"time": 0, "actor": event.actor or "urn:li:corpuser:datahub"},
    }
