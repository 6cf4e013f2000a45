"""How tables are joined, over others where need be: paths in the graph of known joins. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.sql_context import ContextJoin

# Tables further apart than this are not joined for one question.
_MAX_STEPS = 3
# A key that nobody has joined by yet makes a path longer by this much.
_UNSEEN = 0.5


def known_joins(snapshots: Mapping[str, Snapshot]) -> Sequence[ContextJoin]:
    """Return all joins among these datasets, each once, the most frequent first."""
    found: dict[tuple[str, tuple[str, ...], str, tuple[str, ...]], int] = {}
    for urn, snapshot in snapshots.items():
        for join in snapshot.joins:
            if join.other not in snapshots or join.other == urn:
                continue
            here, there = (urn, join.columns), (join.other, join.other_columns)
            if there < here:
                pairs = sorted(zip(join.other_columns, join.columns, strict=True))
                here = (join.other, tuple(column for column, _ in pairs))
                there = (urn, tuple(column for _, column in pairs))
            key = (*here, *there)
            # Both sides have seen the same queries.
            found[key] = max(found.get(key, 0), join.count)
    joins = [ContextJoin(*key, count) for key, count in found.items()]
    return sorted(joins, key=lambda j: (-j.count, j.left, j.right, j.left_columns))


def bridges(wanted: Sequence[str], joins: Iterable[ContextJoin]) -> Mapping[str, int]:
    """Return the tables that lie between the wanted ones, with their place among these.

    Each wanted table, in order, is tied to those before it by its shortest path, on which joins
    that were seen often come first; one that has none of at most three joins stays by itself. The
    place of a bridge is that of the later of the tables that it ties.
    """
    near: dict[str, dict[str, float]] = {}
    for join in joins:
        length = 1 + _UNSEEN / (1 + join.count)
        for here, there in ((join.left, join.right), (join.right, join.left)):
            others = near.setdefault(here, {})
            others[there] = min(length, others.get(there, length))
    tied: set[str] = set()
    found: dict[str, int] = {}
    for place, urn in enumerate(wanted):
        for bridge in _way(urn, tied, near) if tied and urn not in tied else ():
            if bridge not in wanted:
                found.setdefault(bridge, place)
            tied.add(bridge)
        tied.add(urn)
    return found


def _way(start: str, ends: set[str], near: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    """Return what lies on the shortest way from one table to the nearest of others."""
    reached: dict[str, float] = {start: 0.0}
    before: dict[str, str] = {}
    queue = [(0.0, 0, start)]
    while queue:
        length, steps, here = heappop(queue)
        if here in ends:
            way = []
            while (here := before[here]) != start:
                way.append(here)
            return way
        if steps == _MAX_STEPS or length > reached[here]:
            continue
        for there, step in near.get(here, {}).items():
            further = length + step
            if further < reached.get(there, float("inf")):
                reached[there] = further
                before[there] = here
                heappush(queue, (further, steps + 1, there))
    return ()
