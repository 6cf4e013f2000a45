"""Searching the index as somebody."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataspoke.errors import DependencyError, InvalidInput
from dataspoke.knowledge import ranking
from dataspoke.knowledge.lexical import split_words
from dataspoke.knowledge.model import (
    Candidate,
    Hit,
    Neighbour,
    SearchFilters,
    SearchMode,
    SearchPage,
)
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.vectors import Vectors

_log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 1000
MAX_PAGE = 100

# How deep retrieval looks: first, and further on where a page is not full yet. The same for all
# pages of a search, as each depth makes a tier of the ranking.
_DEPTHS = (100, 400, 800)
_DEEPEST = 800

_NO_MODEL = "Searched by words only: no sentence model is set up."
_MODEL_FAILED = "Searched by words only: the sentence model does not answer at the moment."
_NO_VECTORS = "Searched by words only: what was found is not embedded with the present model yet."


class SearchService:
    """Search over the hub's datasets. With no embedder it goes by words."""

    def __init__(self, hub: Hub, vectors: Vectors, embedder: Embedder | None) -> None:
        self._hub = hub
        self._vectors = vectors
        self._embedder = embedder

    async def search(
        self, actor: Actor, question: str, filters: SearchFilters, first: int, after: str | None
    ) -> SearchPage:
        """Return the best ``first`` datasets that the actor may see, from ``after`` on.

        A page is full as long as there is enough to see within the best 800 by words or meaning.
        Pages neither overlap nor leave anything out while index and rights stay as they are.
        Raises InvalidInput for a question, a filter, a size or a cursor that cannot be used.
        """
        _require_usable(question, filters, first)
        mode, position, notice = SearchMode.HYBRID, None, None
        if after is not None:
            mode, position = ranking.read_cursor(after, question, filters)
        vector = None
        if mode is SearchMode.HYBRID or position is None:
            vector, notice = await self._embed_question(question, required=position is not None)
        else:
            notice = _NO_MODEL if self._embedder is None else _MODEL_FAILED

        model = self._embedder.model if self._embedder and vector is not None else None
        visible: dict[str, bool] = {}
        tiers: list[Sequence[Candidate]] = []
        known: set[str] = set()
        for depth in _DEPTHS:
            found = await self._vectors.search(split_words(question), vector, model, filters, depth)
            new = [candidate for candidate in found if candidate.urn not in known]
            known.update(candidate.urn for candidate in new)
            await self._look(actor, [candidate.urn for candidate in new], visible)
            tiers.append([candidate for candidate in new if visible[candidate.urn]])
            order = ranking.rank(question, tiers, {}, 0.0)
            rest = [entry for entry in order if position is None or entry.position > position]
            if len(rest) > first or len(found) < depth:
                break

        if vector is not None and found and all(entry.similarity is None for entry in found):
            notice = _NO_VECTORS
        mode = SearchMode.LEXICAL if notice else SearchMode.HYBRID
        page = rest[:first]
        documents = await self._vectors.documents([entry.urn for entry in page])
        return SearchPage(
            hits=tuple(
                Hit(
                    entry.urn,
                    entry.score,
                    ranking.reasons(documents[entry.urn], question, entry),
                )
                for entry in page
                if entry.urn in documents
            ),
            cursors=tuple(
                ranking.cursor_of(entry, question, filters, mode)
                for entry in page
                if entry.urn in documents
            ),
            has_next=len(rest) > first,
            mode=mode,
            notice=notice,
        )

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]:
        """Return for each dataset up to ``limit`` others of like meaning that the actor may see.

        A dataset that the actor may not see is absent; one without a vector has no others.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"`limit` is {limit}; ask for 1 to {MAX_PAGE} datasets.")
        visible: dict[str, bool] = {}
        await self._look(actor, urns, visible)
        found: dict[str, tuple[Hit, ...]] = {urn: () for urn in urns if visible[urn]}
        wanted, depth = list(found), 2 * limit
        while wanted:
            near = await self._vectors.neighbours(wanted, depth)
            others = {neighbour.urn for entries in near.values() for neighbour in entries}
            await self._look(actor, sorted(others), visible)
            for urn, entries in near.items():
                found[urn] = tuple(
                    _neighbour_hit(entry) for entry in entries if visible[entry.urn]
                )[:limit]
            wanted = [
                urn
                for urn, entries in near.items()
                if len(entries) == depth and len(found[urn]) < limit and depth < _DEEPEST
            ]
            depth = min(4 * depth, _DEEPEST)
        return found

    async def _look(self, actor: Actor, urns: Sequence[str], visible: dict[str, bool]) -> None:
        """Note in ``visible`` what the actor may see of the urns that are not in it yet."""
        new = [urn for urn in dict.fromkeys(urns) if urn not in visible]
        if new:
            access = await self._hub.access(actor, new)
            visible.update({urn: urn in access for urn in new})

    async def _embed_question(
        self, question: str, *, required: bool
    ) -> tuple[NDArray[np.float32] | None, str | None]:
        """Return the question's vector, or None and the notice why there is none.

        A page that follows one ranked by meaning cannot go on by words: it would repeat and
        skip. So the error is raised where the vector is ``required``.
        """
        if self._embedder is None:
            if required:
                raise InvalidInput(
                    "`after` comes from a search by meaning, which is not set up any more; "
                    "leave it out to start anew."
                )
            return None, _NO_MODEL
        try:
            return await self._embedder.embed_question(question), None
        except DependencyError as error:
            if required:
                raise
            _log.warning("question not embedded, searching by words: %s", error.public_message)
            return None, _MODEL_FAILED


def _neighbour_hit(neighbour: Neighbour) -> Hit:
    return Hit(neighbour.urn, max(0.0, neighbour.similarity), ("similar in meaning",))


_FILTER_URNS = {
    "platforms": "urn:li:dataPlatform:",
    "tags": "urn:li:tag:",
    "terms": "urn:li:glossaryTerm:",
    "owners": "urn:li:corp",  # corpuser and corpGroup
    "domains": "urn:li:domain:",
    "consumers": "urn:li:domain:",
}


def _require_usable(question: str, filters: SearchFilters, first: int) -> None:
    if not split_words(question):
        raise InvalidInput("The question holds no words; say in words what the data is about.")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise InvalidInput(
            f"The question has {len(question)} characters; "
            f"at most {MAX_QUESTION_CHARACTERS} are searched for."
        )
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInput(f"`first` is {first}; ask for 1 to {MAX_PAGE} hits.")
    for name, prefix in _FILTER_URNS.items():
        for urn in getattr(filters, name):
            if not urn.startswith(prefix):
                raise InvalidInput(
                    f"The filter {name} holds {urn!r}, which does not begin with {prefix}."
                )
