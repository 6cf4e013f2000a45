"""What DataSpoke reads of datasets, with the rights of its own account."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TypeVar

from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.entities import batches, data_of, read_entities
from dataspoke.adapters.datahub.parsing import (
    Raw,
    dataset_of,
    is_visible,
    merged_queries,
    open_incident_of,
    operation_of,
    profile_of,
    recorded_query_of,
    statements_of,
    subjects_of,
    usage_of,
    with_values,
)
from dataspoke.adapters.datahub.walking import Hop, Walk, is_on_the_way
from dataspoke.catalogue import (
    ColumnProfile,
    Dataset,
    Lineage,
    Operation,
    Profile,
    Query,
    Reach,
    Usage,
)
from dataspoke.errors import DependencyRejected
from dataspoke.ports.hub import OpenIncident
from dataspoke.urns import is_dataset

P = TypeVar("P", Profile, Operation)

_log = logging.getLogger(__name__)

# Entities in one request. DataHub counts the complexity of a query by its fields, not by what
# comes back, so that the size of the answer sets these.
_DATASETS = 50
_SERIES = 25
_LINEAGES = 50
_TERMS = 500

# Points of a time series in one request; DataHub cuts longer ones without a word.
_PAGE = 1000
# The newest that are read of one series: two years of a profile every twenty minutes.
_MAX_POINTS = 52_560

# Profiles of columns in one answer, about 3 MB of them; and those that are read of one dataset:
# two years by the day of a table with 130 columns. A wider one has a shorter past.
_COLUMN_PAGE = 20_000
_MAX_COLUMN_POINTS = 100_000

# Recorded statements in one answer, and the newest that are read of one batch of datasets.
_STATEMENT_PAGE = 200
_MAX_STATEMENTS = 2000

_INCIDENTS = 10
_NEIGHBOURS = 500
_MAX_STEPS = 30

# What DataHub calls the last days, none of them longer than it takes them to be.
_RANGES = {"WEEK": 7, "MONTH": 28, "QUARTER": 89, "HALF_YEAR": 180, "YEAR": 365}


class Reader:
    """Reads by urn. A dataset that does not exist, or is hidden from the account, is absent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._warned: set[str] = set()

    async def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        """Yield the urns of all datasets that are not removed, as the search index has them."""
        async for found in self._scroll("scroll", "the list of datasets", batch_size):
            yield [entity["urn"] for entity in found]

    async def glossary(self) -> dict[str, str]:
        terms: dict[str, str] = {}
        async for found in self._scroll("glossary", "the list of glossary terms", _TERMS):
            with _understood():
                known = [term["properties"] for term in found if term["properties"] is not None]
                terms.update({each["name"]: each["definition"] or "" for each in known})
        return terms

    async def _scroll(
        self, document: str, about: str, batch_size: int
    ) -> AsyncIterator[Sequence[Raw]]:
        """Yield entities in batches, none of them empty."""
        scroll_id: str | None = None
        while True:
            variables = {"count": batch_size, "scrollId": scroll_id}
            answer = await self._connection.execute(document, variables)
            with _understood():
                page = data_of(answer, about)["scrollAcrossEntities"]
                hits = [hit["entity"] for hit in page["searchResults"]]
                scroll_id = page["nextScrollId"]
            if found := [entity for entity in hits if entity is not None]:
                yield found
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
        """Return the profiles of whole tables; those of single partitions are left out.

        DataHub cannot leave out some columns of a profile: those of a table's oldest profiles are
        missing where it has more than ``_MAX_COLUMN_POINTS`` of them.
        """
        window = {**_window(since, _PAGE), "withNewest": False}
        asked = {**window, "until": None, "withNewest": True}
        pages = await self._read("profiles", urns, _SERIES, asked)
        found = await self._points("profiles", pages, window, since, profile_of)
        columns = await self._columns(found, since)
        for urn, runs in found.items():
            with _understood():
                by_time = columns.get(urn, {})
                found[urn] = runs = [replace(r, columns=by_time.get(r.time, ())) for r in runs]
                for point in pages[urn].get("newest") or ():
                    newest = profile_of(point)
                    if runs and newest and newest.time == runs[-1].time:
                        runs[-1] = with_values(runs[-1], point)
        return found

    async def _columns(
        self, tables: Mapping[str, Sequence[Profile]], since: datetime
    ) -> dict[str, dict[datetime, tuple[ColumnProfile, ...]]]:
        """Return the columns of each profile by the time of it."""
        found: dict[str, dict[datetime, tuple[ColumnProfile, ...]]] = {}
        for urns, limit, most in _packed(tables):
            window = _window(since, limit)
            pages = await self._read("columns", urns, len(urns), {**window, "until": None})
            series = await self._points("columns", pages, window, since, profile_of, most)
            found |= {urn: {run.time: run.columns for run in runs} for urn, runs in series.items()}
        return found

    async def operations(self, urns: Sequence[str], since: datetime) -> dict[str, list[Operation]]:
        window = _window(since, _PAGE)
        pages = await self._read("operations", urns, _SERIES, {**window, "until": None})
        return await self._points("operations", pages, window, since, operation_of)

    async def usage(self, urns: Sequence[str], since: datetime) -> dict[str, list[Usage]]:
        entities = await self._read("usage", urns, _SERIES, {"range": _range(since)})
        found = {}
        for urn, entity in entities.items():
            self._warn_of_missing_right("usage", urn, entity)
            with _understood():
                buckets = (entity.get("usageStats") or {}).get("buckets") or ()
                days = [day for each in buckets if each and (day := usage_of(each)) is not None]
            kept = [day for day in days if day.time >= since]
            found[urn] = sorted(kept, key=lambda day: day.time)
        return found

    async def queries(self, urns: Sequence[str], since: datetime) -> dict[str, list[Query]]:
        """Return the top statements of each day together with those recorded by themselves."""
        entities = await self._read("statements", urns, _SERIES, {"range": _range(since)})
        seen: dict[str, list[Query]] = {}
        for urn, entity in entities.items():
            self._warn_of_missing_right("usage", urn, entity)
            with _understood():
                buckets = (entity.get("usageStats") or {}).get("buckets") or ()
                days = [query for each in buckets if each for query in statements_of(each)]
            seen[urn] = [query for query in days if query.last_at >= since]
        for batch in batches(list(seen), _SERIES):
            for query, subjects in await self._recorded(batch, since):
                for urn in subjects & seen.keys():
                    seen[urn].append(query)
        return {urn: merged_queries(queries) for urn, queries in seen.items()}

    async def _recorded(self, urns: Sequence[str], since: datetime) -> list[tuple[Query, set[str]]]:
        """Return the newest statements about any of the datasets, with all they are about."""
        found: list[tuple[Query, set[str]]] = []
        for start in range(0, _MAX_STATEMENTS, _STATEMENT_PAGE):
            window = {"urns": urns, "start": start, "count": _STATEMENT_PAGE}
            answer = await self._connection.execute("recorded", window)
            with _understood():
                page = data_of(answer, f"the statements about {urns[0]}")["listQueries"]
                read = [(recorded_query_of(each), subjects_of(each)) for each in page["queries"]]
                total = page["total"]
            found += [(query, on) for query, on in read if query and query.last_at >= since]
            # They come the newest first.
            older = any(query is not None and query.last_at < since for query, _ in read)
            if older or start + _STATEMENT_PAGE >= total:
                return found
        _log.warning(
            "%s and others have more statements than are read; the oldest are missing", urns[0]
        )
        return found

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

    async def reach(self, urns: Sequence[str], direction: str, limit: int) -> dict[str, Reach]:
        """Return what each dataset leads to; every neighbour is read once, for all of them."""
        variables = {"direction": direction, "count": _NEIGHBOURS}
        entities = await self._read("hops", urns, _LINEAGES, variables)
        walks = {urn: Walk(urn, limit) for urn in entities}
        known: dict[str, Hop] = {}
        for _ in range(_MAX_STEPS):
            with _understood():
                known |= {urn: _hop(entity) for urn, entity in entities.items()}
            for walk in walks.values():
                walk.step(known)
            edge = sorted({urn for walk in walks.values() for urn in walk.edge} - known.keys())
            entities = await read_entities(self._connection, "hops", edge, _LINEAGES, variables)
            known |= dict.fromkeys(edge, Hop())
            if not any(walk.edge for walk in walks.values()):
                break
        return {urn: walk.reach() for urn, walk in walks.items()}

    async def open_incidents(self, urns: Sequence[str]) -> dict[str, list[OpenIncident]]:
        """Return the active incidents of datasets that have some, newest first."""
        pages = await self._read("incidents", urns, _DATASETS, {"count": _INCIDENTS})
        with _understood():
            found = {
                urn: [open_incident_of(each) for each in entity["incidents"]["incidents"]]
                for urn, entity in pages.items()
            }
        # DataHub's index may not have the newest in order yet.
        return {
            urn: sorted(incidents, key=_raised_last, reverse=True)
            for urn, incidents in found.items()
            if incidents
        }

    async def _read(
        self, document: str, urns: Sequence[str], batch_size: int, variables: Raw
    ) -> dict[str, Raw]:
        """Return the datasets among ``urns`` that exist."""
        asked = [urn for urn in urns if is_dataset(urn)]
        entities = await read_entities(self._connection, document, asked, batch_size, variables)
        return {urn: entity for urn, entity in entities.items() if entity.get("exists") is True}

    async def _points(
        self,
        document: str,
        pages: Mapping[str, Raw],
        window: Raw,
        since: datetime,
        parse: Callable[[Raw], P | None],
        most: int = _MAX_POINTS,
    ) -> dict[str, list[P]]:
        """Return each series from ``since`` on, oldest first, with no point missing in between.

        ``pages`` hold the newest points of each. A series longer than ``most`` loses its oldest.
        """
        found = {}
        for urn, entity in pages.items():
            self._warn_of_missing_right(document, urn, entity)
            points = await self._whole(document, urn, entity.get("points") or (), window, most)
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
        self, document: str, urn: str, page: Sequence[Raw], window: Raw, most: int
    ) -> Sequence[Raw]:
        """Return a series whose newest points are ``page``; DataHub hands out the newest first."""
        points: list[Raw] = []
        while len(page) >= window["limit"]:
            if len(points) >= most:
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


def _raised_last(incident: OpenIncident) -> float:
    return 0.0 if incident.raised_at is None else incident.raised_at.timestamp()


def _window(since: datetime, limit: int) -> dict[str, int]:
    return {"from": max(0, ceil(since.timestamp() * 1000)), "limit": limit}


def _range(since: datetime) -> str:
    """Return the shortest of DataHub's ranges that holds ``since`` and the day it lies in."""
    days = (datetime.now(UTC) - since) / timedelta(days=1) + 1
    return next((name for name, length in _RANGES.items() if length >= days), "ALL")


def _packed(tables: Mapping[str, Sequence[Profile]]) -> Iterator[tuple[list[str], int, int]]:
    """Yield datasets whose columns to read at once, the points of each in one answer, and in all.

    An answer holds about ``_COLUMN_PAGE`` columns at most, whatever their tables are like.
    """
    batch: list[str] = []
    held = 0
    for urn, runs in tables.items():
        if not runs:
            continue
        width = max(1, *(run.column_count or 1 for run in runs))
        size = width * min(len(runs), _PAGE)
        if batch and (len(batch) == _SERIES or held + size > _COLUMN_PAGE):
            yield batch, _PAGE, _MAX_POINTS
            batch, held = [], 0
        if width * len(runs) > _COLUMN_PAGE:
            limit = min(_PAGE, max(10, _COLUMN_PAGE // width))
            yield [urn], limit, min(_MAX_POINTS, _MAX_COLUMN_POINTS // width)
            continue
        batch.append(urn)
        held += size
    if batch:
        yield batch, _PAGE, _MAX_POINTS


_NO_NEIGHBOURS: Raw = {way: {"total": 0, "relationships": []} for way in ("upstream", "downstream")}


def _neighbours(page: Raw) -> set[str]:
    entities = [relationship["entity"] for relationship in page["relationships"]]
    # Null where the account may not see it.
    return {entity["urn"] for entity in entities if entity and is_dataset(entity["urn"])}


def _hop(entity: Raw) -> Hop:
    page = entity.get("lineage") or _NO_NEIGHBOURS["upstream"]
    entities = [relationship["entity"] for relationship in page["relationships"]]
    urns = {each["urn"] for each in entities if each and is_on_the_way(each["urn"])}
    return Hop(tuple(sorted(urns)), whole=(page["total"] or 0) <= _NEIGHBOURS)


@contextmanager
def _understood() -> Iterator[None]:
    """Turn an answer of another shape than the interface promises into DependencyRejected."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DependencyRejected(
            "hub", f"DataHub answered in a shape that DataSpoke does not know ({error!r})."
        ) from error
