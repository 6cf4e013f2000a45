"""Metadata files, as the file source of ``datahub ingest`` reads them."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from avrogen.dict_wrapper import DictWrapper
from datahub.emitter.serialization_helper import post_json_transform, pre_json_transform
from datahub.metadata.schema_classes import ASPECT_NAME_MAP, MetadataChangeEventClass

from dataspoke.errors import InvalidInput
from dataspoke.localhub.models import aspect_model, aspect_of_type, entity_of, key_of
from dataspoke.localhub.proposals import Change, Proposal, from_mce, from_mcp
from dataspoke.localhub.shapes import restli_name

_log = logging.getLogger(__name__)


def read_metadata_file(path: Path) -> list[Proposal]:
    """Return the proposals in a file of change events and proposals (MCE, MCP), all validated.

    Written in one call of ``Storage.write`` they are loaded wholly or not at all. Raises
    InvalidInput naming the file, and the record (counted from 1) where one is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    try:
        records = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{path} is not JSON: {error}.") from error
    if isinstance(records, dict):
        # A file of one record may leave out the list.
        records = [records]
    if not isinstance(records, list):
        raise InvalidInput(f"{path} is no DataHub metadata file: it must hold a list of records.")
    proposals: list[Proposal] = []
    for number, record in enumerate(records, start=1):
        try:
            proposals.extend(_proposals(record))
        except InvalidInput as error:
            raise InvalidInput(
                f"{path}, record {number} of {len(records)}: {error.public_message}"
            ) from error
    if not proposals:
        raise InvalidInput(f"{path} holds no metadata.")
    return proposals


def _proposals(record: Any) -> Iterator[Proposal]:
    if not isinstance(record, dict):
        raise InvalidInput("it must be an object, as written by DataHub's file sink.")
    if "proposedSnapshot" in record:
        for proposal in from_mce(_restli_event(record)):
            yield _validated(proposal)
    elif "aspect" in record or "aspectName" in record:
        yield _validated(from_mcp(_restli_proposal(record)))
    elif "bucket" in record:
        # DataHub drops these too: usage comes as datasetUsageStatistics nowadays.
        _log.warning("Skipped a usage aggregation of %s.", record.get("resource"))
    else:
        raise InvalidInput(
            "it is neither a change event ('proposedSnapshot') nor a proposal ('aspect')."
        )


def _restli_event(record: dict[str, Any]) -> dict[str, Any]:
    """Return an MCE from its Avro form, in which files have it, in that of the REST API."""
    _require_known_aspects(record["proposedSnapshot"])
    event = _parsed(MetadataChangeEventClass, record)
    snapshot = event.proposedSnapshot
    type_name = f"com.linkedin.metadata.snapshot.{snapshot.RECORD_SCHEMA.name}"
    metadata = event.systemMetadata
    return {
        "entity": {"value": {type_name: pre_json_transform(snapshot.to_obj())}},
        "systemMetadata": None if metadata is None else metadata.to_obj(),
    }


def _require_known_aspects(snapshots: Any) -> None:
    """Raise InvalidInput for an aspect of unknown type; the SDK's parser would guess one."""
    for snapshot in snapshots.values() if isinstance(snapshots, dict) else ():
        aspects = snapshot.get("aspects") if isinstance(snapshot, dict) else None
        for aspect in aspects if isinstance(aspects, list) else ():
            for type_name in aspect if isinstance(aspect, dict) else ():
                aspect_of_type(restli_name(type_name))


def _restli_proposal(record: dict[str, Any]) -> dict[str, Any]:
    """Return an MCP whose value is spelled as a string; files may hold it as plain JSON."""
    aspect = record.get("aspect")
    if isinstance(aspect, dict) and "json" in aspect:
        value = orjson.dumps(aspect["json"]).decode()
        return {**record, "aspect": {"contentType": "application/json", "value": value}}
    return record


def _validated(proposal: Proposal) -> Proposal:
    model = aspect_model(entity_of(proposal.urn), proposal.aspect)
    key_of(proposal.urn)
    if proposal.change in (Change.PATCH, Change.DELETE):
        return proposal
    try:
        return replace(proposal, value=model.validate(proposal.value))
    except InvalidInput:
        # The file source is laxer than the API, and brings what it read into the API's form.
        try:
            lax = _parsed(ASPECT_NAME_MAP[model.name], post_json_transform(proposal.value))
            return replace(proposal, value=model.validate(pre_json_transform(lax.to_obj())))
        except InvalidInput:
            pass
        raise


def _parsed(kind: type[DictWrapper], value: Any) -> Any:
    try:
        parsed = kind.from_obj(value)
        valid = parsed.validate()
    except Exception as error:  # the SDK's parser raises whatever the wrong value provokes
        raise InvalidInput(f"it is no {_name(kind)}: {error}") from error
    if not valid:
        raise InvalidInput(f"it is no valid {_name(kind)}.")
    return parsed


def _name(kind: type[DictWrapper]) -> str:
    return kind.__name__.removesuffix("Class")
