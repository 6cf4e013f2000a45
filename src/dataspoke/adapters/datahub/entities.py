"""Many entities by one document, in bounded batches."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import ExecutionResult

from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.parsing import Raw
from dataspoke.errors import (
    DependencyError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

_log = logging.getLogger(__name__)


async def read_entities(
    connection: Connection,
    document: str,
    urns: Sequence[str],
    batch_size: int,
    variables: Mapping[str, Any],
    token: str | None = None,
) -> dict[str, Raw]:
    """Return what the hub answers for each urn; those that it answers null for are absent.

    ``document`` must ask ``entities(urns: $urns)`` for ``urn`` and more. DataHub may fail a whole
    batch for one element, or be too slow for it: such a batch is read again one by one. Raises
    where one fails by itself; its error names the urn, as leaving it out would say that it does
    not exist.
    """
    found: dict[str, Raw] = {}
    for batch in batches(list(dict.fromkeys(urns)), batch_size):
        try:
            answer = await connection.execute(document, {**variables, "urns": batch}, token)
            whole = not answer.errors
        except DependencyTimeout:
            if len(batch) == 1:
                raise
            whole = False
        if whole or len(batch) == 1:
            found |= _entities(answer, batch)
            continue
        _log.warning("DataHub failed %d entities at once; now one by one", len(batch))
        for urn in batch:
            answer = await connection.execute(document, {**variables, "urns": [urn]}, token)
            found |= _entities(answer, [urn])
    return found


def data_of(answer: ExecutionResult, about: str) -> Raw:
    """Return an answer's data; raises DependencyError where it has errors, in part or wholly."""
    if answer.errors:
        raise _failure(answer.errors, about)
    if not isinstance(answer.data, dict):
        raise DependencyRejected("hub", f"DataHub answered nothing about {about}.")
    return answer.data


def batches(items: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield the items in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _entities(answer: ExecutionResult, asked: Sequence[str]) -> dict[str, Raw]:
    about = asked[0] if len(asked) == 1 else f"{len(asked)} entities"
    entities = data_of(answer, about).get("entities") or ()
    wanted = set(asked)
    return {entity["urn"]: entity for entity in entities if entity and entity["urn"] in wanted}


def _failure(errors: Sequence[Any], about: str) -> DependencyError:
    # Over HTTP an error is an object; DataHub adds the status that REST would have had.
    codes = [(error.get("extensions") or {}).get("code") for error in errors]
    message = f"DataHub could not answer about {about}: {str(errors[0].get('message'))[:200]}"
    if any(isinstance(code, int) and code >= 500 for code in codes):
        return DependencyUnavailable("hub", message)
    return DependencyRejected("hub", message)
