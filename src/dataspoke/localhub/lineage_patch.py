"""How a PATCH addresses column lineage, which has no key of its own.

DataHub addresses it by transformation, downstream column, query and upstream column; entries that
agree in the first three are one entry with several upstreams.
"""

from typing import Any

from dataspoke.errors import InvalidInput

FIELD = "fineGrainedLineages"

_NONE = "NONE"
_FULL_CONFIDENCE = 1.0

Tree = dict[str, dict[str, dict[str, dict[str, dict[str, Any]]]]]


def to_tree(lineages: list[dict[str, Any]]) -> Tree:
    """Return column lineage as objects nested by key; the inverse of ``from_tree``.

    Raises InvalidInput for an entry without exactly one downstream, as DataHub does.
    """
    tree: Tree = {}
    for lineage in lineages:
        downstreams = lineage.get("downstreams") or []
        if len(downstreams) != 1:
            raise InvalidInput(
                "Column lineage can be patched only where each entry has exactly one downstream; "
                "write upstreamLineage whole instead."
            )
        upstreams = (
            tree.setdefault(lineage.get("transformOperation") or _NONE, {})
            .setdefault(downstreams[0], {})
            .setdefault(lineage.get("query") or _NONE, {})
        )
        for upstream in lineage.get("upstreams") or []:
            upstreams[upstream] = {
                "confidenceScore": lineage.get("confidenceScore", _FULL_CONFIDENCE),
                "upstreamType": lineage["upstreamType"],
                "downstreamType": lineage["downstreamType"],
            }
    return tree


def from_tree(tree: Tree) -> list[dict[str, Any]]:
    """Return column lineage out of its tree; an entry has the least confidence of its parts."""
    return [
        {
            "transformOperation": operation,
            "upstreamType": _last(upstreams, "upstreamType", "FIELD_SET"),
            "upstreams": list(upstreams),
            "downstreamType": _last(upstreams, "downstreamType", "FIELD"),
            "downstreams": [downstream],
            "confidenceScore": min(
                upstream.get("confidenceScore", _FULL_CONFIDENCE) for upstream in upstreams.values()
            ),
            **({} if query == _NONE else {"query": query}),
        }
        for operation, downstreams in tree.items()
        for downstream, queries in downstreams.items()
        for query, upstreams in queries.items()
        if upstreams
    ]


def _last(upstreams: dict[str, dict[str, Any]], name: str, default: str) -> str:
    named = [upstream[name] for upstream in upstreams.values() if name in upstream]
    return str(named[-1]) if named else default
