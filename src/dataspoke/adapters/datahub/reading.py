"""What DataSpoke reads of datasets, with the rights of its own account."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from typing import TypeVar

from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.entities import data_of, read_entities
from dataspoke.adapters.datahub.parsing import Raw, dataset_of, is_visible, operation_of, profile_of
from dataspoke.catalogue import Dataset, Lineage, Operation, Profile
from dataspoke.errors import DependencyRejected
from dataspoke.urns import is_dataset

P = TypeVar("P", Profile, Operation)

_log = logging.getLogger(__name__)

# Entities in one request. DataHub counts the complexity of a query by its fields, not by what
# comes back, so that the size of the answer sets these.
_DATASETS = 50
_SERIES = 25
_LINEAGES = 50

# Points of a time series in one request; DataHub cuts longer ones without a word.
_PAGE = 1000
# The newest that are read of one series: two years of a profile every twenty minutes.
_MAX_POINTS = 52_560

_NEIGHBOURS = 500


class Reader:
    """Reads by urn. A dataset that does not exist, or is hidden from the account, is absent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._warned: set[str] = set()

    async def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        """Yield the urns of all datasets that are not removed, as the search index has them."""
        scroll_id: str | None = None
        while True:
            variables = {"count": batch_size, "scrollId": scroll_id}
            answer = await self._connection.execute("scroll", variables)
            with _understood():
                page = data_of(answer, "the list of datasets")["scrollAcrossEntities"]
                hits = [hit["entity"] for hit in page["searchResults"]]
                scroll_id = page["nextScrollId"]
            urns = [entity["urn"] for entity in hits if entity is not None]
            if urns:
                yield urns
            if not hits or scroll_id is None:
                return

    async def datasets(self, urns: Sequence[str]) -> dict[str, Dataset]:
        entities = await self._read("datasets", urns, _DATASETS, {})
        with _understood():
            found = {urn: dataset_of(each) for urn, each in entities.items() if is_visible(each)}
        if hidden := [urn for urn in entities if urn not in found]:
            _log.warning(
                "%d datasets are hidden from DataSpoke's account and are left out, %s first",
                len(hidden),
                hidden[0],
            )
        return found

    async def profiles(self, urns: Sequence[str], since: datetime) -> dict[str, list[Profile]]:
        """Return the profiles of whole tables; those of single partitions are left out."""
        return await self._series("profiles", urns, since, profile_of)

    async def operations(self, urns: Sequence[str], since: datetime) -> dict[str, list[Operation]]:
        return await self._series("operations", urns, since, operation_of)

    async def lineage(self, urns: Sequence[str]) -> dict[str, Lineage]:
        """Return the neighbours that are datasets, in the order of their urns."""
        window = {"start": 0, "count": _NEIGHBOURS}
        pages = await self._read("lineage", urns, _LINEAGES, window)
        found = {}
        for urn, first in pages.items():
            above: set[str] = set()
            below: set[str] = set()
            page, start = first, 0
            while True:
                with _understood():
                    above |= _neighbours(page["upstream"])
                    below |= _neighbours(page["downstream"])
                    total = max(page[way]["total"] or 0 for way in _NO_NEIGHBOURS)
                    empty = not any(page[way]["relationships"] for way in _NO_NEIGHBOURS)
                start += _NEIGHBOURS
                if start >= total or empty:
                    break
                window = {"start": start, "count": _NEIGHBOURS}
                page = (await self._read("lineage", [urn], 1, window)).get(urn, _NO_NEIGHBOURS)
            found[urn] = Lineage(tuple(sorted(above)), tuple(sorted(below)))
        return found

    async def _read(
        self, document: str, urns: Sequence[str], batch_size: int, variables: Raw
    ) -> dict[str, Raw]:
        """Return the datasets among ``urns`` that exist."""
        asked = [urn for urn in urns if is_dataset(urn)]
        entities = await read_entities(self._connection, document, asked, batch_size, variables)
        return {urn: entity for urn, entity in entities.items() if entity.get("exists") is True}

    async def _series(
        self, document: str, urns: Sequence[str], since: datetime, parse: Callable[[Raw], P | None]
    ) -> dict[str, list[P]]:
        """Return each series from ``since`` on, oldest first, with no point missing in between.

        A series longer than ``_MAX_POINTS`` loses its oldest points.
        """
        window = {"from": max(0, ceil(since.timestamp() * 1000)), "limit": _PAGE}
        found = {}
        first_pages = await self._read(document, urns, _SERIES, {**window, "until": None})
        for urn, entity in first_pages.items():
            self._warn_of_missing_right(document, urn, entity)
            points = await self._whole(document, urn, entity.get("points") or (), window)
            with _understood():
                parsed = [point for point in map(parse, points) if point is not None]
            kept = [point for point in parsed if point.time >= since]
            found[urn] = sorted(kept, key=lambda point: point.time)
        return found

    def _warn_of_missing_right(self, document: str, urn: str, entity: Raw) -> None:
        # DataHub answers no points instead of an error, and nothing would ever be judged.
        granted = (entity.get("privileges") or {}).get("mayView")
        if granted is False and document not in self._warned:
            self._warned.add(document)
            _log.warning(
                "DataSpoke's account may not view the %s of %s, and perhaps of others: "
                "give it the View privileges of datasets in DataHub's policies",
                document,
                urn,
            )

    async def _whole(
        self, document: str, urn: str, page: Sequence[Raw], window: Raw
    ) -> Sequence[Raw]:
        """Return a series whose newest points are ``page``; DataHub hands out the newest first."""
        points: list[Raw] = []
        while len(page) >= _PAGE:
            if len(points) >= _MAX_POINTS:
                _log.warning("%s has more %s than are read; the oldest are missing", urn, document)
                break
            with _understood():
                oldest = min(point["timestampMillis"] for point in page)
                newer = [point for point in page if point["timestampMillis"] > oldest]
            # More points may share the oldest time: it is asked for again, unless it fills the
            # page by itself.
            points += newer or page
            until = oldest if newer else oldest - 1
            again = await self._read(document, [urn], 1, {**window, "until": until})
            page = again.get(urn, {}).get("points") or ()
        return [*points, *page]


_NO_NEIGHBOURS: Raw = {way: {"total": 0, "relationships": []} for way in ("upstream", "downstream")}


def _neighbours(page: Raw) -> set[str]:
    entities = [relationship["entity"] for relationship in page["relationships"]]
    # Null where the account may not see it.
    return {entity["urn"] for entity in entities if entity and is_dataset(entity["urn"])}


@contextmanager
def _understood() -> Iterator[None]:
    """Turn an answer of another shape than the interface promises into DependencyRejected."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DependencyRejected(
            "hub", f"DataHub answered in a shape that DataSpoke does not know ({error!r})."
        ) from error
