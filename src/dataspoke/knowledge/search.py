"""Searching the index as somebody."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from dataspoke.errors import DependencyError, DependencyTimeout, DependencyUnavailable, InvalidInput
from dataspoke.knowledge import comparison, lexical, questions, ranking
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.lexical import split_words, stems
from dataspoke.knowledge.model import (
    Candidate,
    Difference,
    Document,
    FacetCount,
    Facets,
    FilterKind,
    Hit,
    Interpretation,
    Neighbourhood,
    SearchFilters,
    SearchMode,
    SearchPage,
    Signals,
)
from dataspoke.knowledge.pages import Pages
from dataspoke.knowledge.questions import Names
from dataspoke.knowledge.ranking import Ranked
from dataspoke.knowledge.trust import trust_of, value_of
from dataspoke.ports.cache import Cache
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Access, Actor, Hub
from dataspoke.ports.store import Store
from dataspoke.ports.vectors import Vectors
from dataspoke.quality.access import may_see
from dataspoke.quality.model import Check, Metric
from dataspoke.settings import SearchSettings

_log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 1000
MAX_PAGE = 100

# How deep retrieval looks: first, and further on where a page is not full yet. The same for all
# pages of a search, as each depth makes a tier of the ranking.
_DEPTHS = (70, 400, 1600, 6400)
_DEEPEST_NEIGHBOUR = 800
# Names are looked through once: without the index there is nothing to rank a second tier by.
_NAMES = 100
# So long what is known of datasets and of names is remembered in this process.
_REMEMBERED_S = 10.0
# So many neighbours on each side are shown; a hub of lineage has thousands.
_LINEAGE = 50
_FACETS = 20

_NO_MODEL = "Searched by words only: no sentence model is set up."
_MODEL_FAILED = "Searched by words only: the sentence model does not answer at the moment."
_NO_VECTORS = "Searched by words only: what was found is not embedded with the present model yet."
_NO_INDEX = (
    "Searched by names only: the search index does not answer at the moment. What is not named "
    "like the question is not found."
)
_NOTHING_PASSES = (
    "Nothing passes the filters that were read out of the question; search with "
    "`interpret: false` to take it as words."
)
_NO_DEEPER = (
    f"Looked at the best {_DEPTHS[-1]:,} by each way of searching only; ask more precisely, or set "
    "filters, to see others."
)


class SearchService:
    """Search over the hub's datasets. With no embedder it goes by words.

    Trust in a dataset, and so its score, knows of it what the caller may view, as the rest of
    DataSpoke does: alerts as their checks, freshness with its operations, queries with its usage.
    """

    def __init__(
        self,
        hub: Hub,
        store: Store,
        vectors: Vectors,
        embedder: Embedder | None,
        cache: Cache,
        settings: SearchSettings | None = None,
    ) -> None:
        self._hub = hub
        self._store = store
        self._vectors = vectors
        self._embedder = embedder
        self._settings = settings or SearchSettings()
        self._pages = Pages(cache, timedelta(seconds=self._settings.cache_s))
        self._known = _Known(store)

    async def search(
        self,
        actor: Actor,
        question: str,
        filters: SearchFilters,
        first: int,
        after: str | None,
        *,
        interpret: bool = True,
        facets: bool = False,
    ) -> SearchPage:
        """Return the best ``first`` datasets that the actor may see, from ``after`` on.

        With ``interpret``, filters that the question asks for in so many words are read out of it,
        but for those kinds that ``filters`` has already. A page is full as long as there is enough
        to see within the best 6,400 by words or meaning. Pages neither overlap nor leave anything
        out while index, verdicts and rights stay as they are. Facets count what the first look
        brought: the best 70 by each way of searching. Raises InvalidInput for a question, a
        filter, a size or a cursor that cannot be used.
        """
        _require_usable(question, filters, first)
        place, kept = await self._pages.find(
            actor.urn, question, asdict(filters), first, after, interpret, facets
        )
        if kept is not None and await self._sees_all(actor, [hit.urn for hit in kept.hits]):
            return kept
        understood = Interpretation((), question)
        if interpret and questions.may_hold_filters(question):
            given = {kind for kind in FilterKind if getattr(filters, kind.value)}
            understood = questions.read(question, await self._known.names(), given)
        page = await self._page(actor, question, understood, filters, first, after, facets=facets)
        if page.mode is SearchMode.HYBRID or self._embedder is None:
            await self._pages.keep(place, page)
        return page

    async def _page(
        self,
        actor: Actor,
        question: str,
        understood: Interpretation,
        filters: SearchFilters,
        first: int,
        after: str | None,
        *,
        facets: bool,
    ) -> SearchPage:
        filters = questions.with_read(filters, understood)
        mode, position, notice = SearchMode.HYBRID, None, None
        if after is not None:
            mode, position = ranking.read_cursor(after, question, filters)
        text = understood.text or question
        vector = None
        if mode is SearchMode.HYBRID:
            vector, notice = await self._embed_question(text, required=position is not None)
        elif mode is SearchMode.LEXICAL:
            notice = _NO_MODEL if self._embedder is None else _MODEL_FAILED
        model = self._embedder.model if self._embedder and vector is not None else None
        asked = _Asked(split_words(text), vector, model, filters, listing=not understood.text)

        found = _Found()
        rest: Sequence[Ranked] = ()
        try:
            if mode is SearchMode.NAMES:
                await self._look_at_names(actor, asked, found)
                rest = await self._rest(asked, found, position, first)
            else:
                async for _ in self._look(actor, asked, found):
                    rest = await self._rest(asked, found, position, first)
                    if len(rest) > first:
                        break
        except (DependencyUnavailable, DependencyTimeout) as error:
            # A page that follows one by the index cannot go on without it.
            if error.port != "vectors" or mode is SearchMode.NAMES or position is not None:
                raise
            _log.warning("searching by names: %s", error.public_message)
            mode, found = SearchMode.NAMES, _Found()
            await self._look_at_names(actor, asked, found)
            rest = await self._rest(asked, found, position, first)

        if mode is SearchMode.NAMES:
            notice = _NO_INDEX
        elif vector is not None and found.lexical_only:
            notice = _NO_VECTORS
        if notice is not None and mode is SearchMode.HYBRID:
            mode = SearchMode.LEXICAL
        if notice is None and len(rest) <= first and not found.complete:
            notice = _NO_DEEPER
        if notice is None and position is None and understood.filters and not rest:
            notice = _NOTHING_PASSES

        page = rest[:first]
        documents = dict(found.documents)
        if missing := [entry.urn for entry in page if entry.urn not in documents]:
            documents.update(await self._vectors.documents(missing))
        # One that left the index meanwhile is not shown any more.
        page = [entry for entry in page if entry.urn in documents]
        return SearchPage(
            hits=tuple(
                _hit(entry, documents[entry.urn], found.signals[entry.urn], question)
                for entry in page
            ),
            cursors=tuple(ranking.cursor_of(entry, question, filters, mode) for entry in page),
            has_next=len(rest) > first,
            mode=mode,
            notice=notice,
            interpretation=understood,
            facets=_facets(found.tiers[0], await self._known.names()) if facets else None,
        )

    async def _look(
        self, actor: Actor, asked: "_Asked", found: "_Found"
    ) -> AsyncGenerator[None, None]:
        """Look deeper with every turn, and add a tier to what was found."""
        retrieved: set[str] = set()
        for depth in _DEPTHS:
            candidates = await self._vectors.search(
                asked.words, asked.vector, asked.model, asked.filters, depth
            )
            new = [candidate for candidate in candidates if candidate.urn not in retrieved]
            retrieved.update(candidate.urn for candidate in new)
            found.lexical_only = bool(candidates) and all(c.similarity is None for c in candidates)
            found.complete = not any(
                sum(getattr(candidate, way) is not None for candidate in candidates) >= depth
                for way in ("lexical", "similarity", "column_similarity")
            )
            await self._add_tier(actor, new, found)
            yield
            if found.complete:
                return

    async def _look_at_names(self, actor: Actor, asked: "_Asked", found: "_Found") -> None:
        """Add one tier, of the datasets whose names hold words of the question, by the store."""
        urns = await self._store.urns_like(sorted(set(stems(asked.words))), _NAMES)
        vocabulary = await self._store.vocabulary()
        documents = [
            document_of(snapshot, vocabulary)
            for snapshot in (await self._store.snapshots(urns)).values()
            if not snapshot.dataset.removed
        ]
        words = {document.urn: lexical.frequencies(document) for document in documents}
        ranks = lexical.ranks(words, asked.words)
        found.documents = {document.urn: document for document in documents}
        candidates = [
            Candidate(document.urn, document.attributes, ranks.get(document.urn))
            for document in documents
            if asked.filters.admit(document.attributes)
        ]
        found.complete = True
        await self._add_tier(actor, candidates, found)

    async def _add_tier(
        self, actor: Actor, candidates: Sequence[Candidate], found: "_Found"
    ) -> None:
        access = await self._hub.access(actor, [candidate.urn for candidate in candidates])
        found.access.update(access)
        found.tiers.append([candidate for candidate in candidates if candidate.urn in access])

    async def _rest(
        self,
        asked: "_Asked",
        found: "_Found",
        position: tuple[int, float, str] | None,
        first: int,
    ) -> Sequence[Ranked]:
        """Return what was found in order, from behind ``position`` on; more than ``first`` if any.

        Those that are returned have their signals in ``found``.
        """
        weight = self._settings.trust_weight
        if asked.listing:
            order = _by_trust(found.tiers, await self._trust(found, found.access))
        elif position is None and len(found.tiers) == 1:
            order = ranking.rank(asked.words, found.tiers, {}, 0.0)
            if len(order) > first:
                # What is less relevant than this comes behind all of the page, however trusted.
                least = order[first].relevance * (1.0 - weight)
                order = tuple(entry for entry in order if entry.relevance >= least)
            # The page is nearly always of the most relevant: they need not wait for the trust.
            trust, found.documents = await asyncio.gather(
                self._trust(found, [entry.urn for entry in order]),
                self._vectors.documents([entry.urn for entry in order[:first]]),
            )
            scored = (
                replace(e, score=ranking.score_of(e.relevance, trust[e.urn], weight)) for e in order
            )
            return sorted(scored, key=lambda entry: entry.position)
        else:
            trust = await self._trust(found, found.access)
            order = ranking.rank(asked.words, found.tiers, trust, weight)
        return [entry for entry in order if position is None or entry.position > position]

    async def _trust(self, found: "_Found", urns: Collection[str]) -> Mapping[str, float]:
        """Return the trust in these and all before, and note what the caller may know of them."""
        new = [urn for urn in urns if urn not in found.signals]
        known = await self._known.signals(new)
        for urn in new:
            signals = found.signals[urn] = _known_to(found.access[urn], known[urn])
            found.trust[urn] = value_of(signals)
        return found.trust

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]:
        """Return for each dataset up to ``limit`` others of like meaning that the actor may see.

        A dataset that the actor may not see is absent; one without a vector has no others.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"`limit` is {limit}; ask for 1 to {MAX_PAGE} datasets.")
        visible = await self._hub.access(actor, urns)
        found: dict[str, tuple[Hit, ...]] = {urn: () for urn in urns if urn in visible}
        wanted, depth = list(found), 2 * limit
        while wanted:
            near = await self._vectors.neighbours(wanted, depth)
            others = {neighbour.urn for entries in near.values() for neighbour in entries}
            visible = await self._hub.access(actor, sorted(others))
            for urn, entries in near.items():
                found[urn] = tuple(
                    Hit(entry.urn, max(0.0, entry.similarity), ("similar in meaning",))
                    for entry in entries
                    if entry.urn in visible
                )[:limit]
            wanted = [
                urn
                for urn, entries in near.items()
                if len(entries) == depth and len(found[urn]) < limit and depth < _DEEPEST_NEIGHBOUR
            ]
            depth = min(4 * depth, _DEEPEST_NEIGHBOUR)
        return found

    async def differences(
        self, actor: Actor, pairs: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Difference]:
        """Return for each pair how the second dataset differs from the first.

        A pair of which one is unknown, or not for the actor to see, is absent.
        """
        urns = list(dict.fromkeys(urn for pair in pairs for urn in pair))
        access = await self._hub.access(actor, urns)
        snapshots = await self._store.snapshots(list(access))
        signals = await self._known.signals(list(snapshots))
        trust = {urn: value_of(_known_to(access[urn], signals[urn])) for urn in snapshots}
        return {
            (here, there): comparison.difference(
                snapshots[here].dataset, snapshots[there].dataset, trust[here], trust[there]
            )
            for here, there in pairs
            if here in snapshots and there in snapshots
        }

    async def lineage_of(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Neighbourhood]:
        """Return the direct neighbours of each dataset that the actor may see, where they may.

        Datasets that are unknown, or not for the actor to see, are absent.
        """
        snapshots = await self._store.snapshots(list(await self._hub.access(actor, urns)))
        sides = {
            urn: (sorted(known.lineage.upstream), sorted(known.lineage.downstream))
            for urn, known in snapshots.items()
        }
        shown = {other for both in sides.values() for side in both for other in side[:_LINEAGE]}
        visible = await self._hub.access(actor, sorted(shown))

        def seen(side: Sequence[str]) -> tuple[str, ...]:
            return tuple(other for other in side[:_LINEAGE] if other in visible)

        return {
            urn: Neighbourhood(
                seen(upstream), seen(downstream), max(len(upstream), len(downstream)) <= _LINEAGE
            )
            for urn, (upstream, downstream) in sides.items()
        }

    async def _sees_all(self, actor: Actor, urns: Sequence[str]) -> bool:
        return set(urns) <= (await self._hub.access(actor, urns)).keys()

    async def _embed_question(
        self, text: str, *, required: bool
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
            return await self._embedder.embed_question(text), None
        except DependencyError as error:
            if required:
                raise
            _log.warning("question not embedded, searching by words: %s", error.public_message)
            return None, _MODEL_FAILED


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for: words, and a vector of a model where there is one.

    With ``listing`` nothing is left of the question but filters: what passes is shown by trust.
    """

    words: str
    vector: NDArray[np.float32] | None
    model: str | None
    filters: SearchFilters
    listing: bool


@dataclass(slots=True)
class _Found:
    """What the caller may see of what was retrieved: one tier for each depth.

    ``signals`` is what the caller may know of those that matter, ``trust`` what follows from it.
    ``documents`` has those that were read so far. ``complete`` tells that there is nothing deeper,
    ``lexical_only`` that nothing had a vector to compare.
    """

    tiers: list[Sequence[Candidate]] = field(default_factory=list)
    access: dict[str, Access] = field(default_factory=dict)
    signals: dict[str, Signals] = field(default_factory=dict)
    trust: dict[str, float] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
    complete: bool = False
    lexical_only: bool = False


class _Known:
    """What the store knows of datasets and names, remembered for some seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signals: dict[str, Signals | None] = {}
        self._signals_end = 0.0
        self._labels: Mapping[str, str] = {}
        self._names = Names({})
        self._names_end = 0.0

    async def signals(self, urns: Sequence[str]) -> Mapping[str, Signals | None]:
        """Return what was judged of each dataset, None where nothing was."""
        now = asyncio.get_running_loop().time()
        if now >= self._signals_end:
            self._signals, self._signals_end = {}, now + _REMEMBERED_S
        known = self._signals
        new = [urn for urn in urns if urn not in known]
        if new:
            found = await self._store.signals(new)
            known.update({urn: found.get(urn) for urn in new})
        return known

    async def names(self) -> Names:
        """Return what people call things."""
        now = asyncio.get_running_loop().time()
        if now >= self._names_end:
            labels = await self._store.labels()
            if labels != self._labels:
                self._labels, self._names = labels, Names(labels)
            self._names_end = now + _REMEMBERED_S
        return self._names


def _known_to(access: Access, signals: Signals | None) -> Signals:
    """Return what somebody with this access may know."""
    if signals is None:
        return _NOTHING
    if access.view_profile and access.view_operations and access.view_usage:
        return signals
    alerts = signals.alerts if access.view_profile else None
    return replace(
        signals,
        freshness=signals.freshness if may_see(access, _FRESHNESS) else None,
        queries=signals.queries if may_see(access, _QUERIES) else None,
        alerts=alerts and tuple(alert for alert in alerts if may_see(access, alert[0])),
    )


def _hit(entry: Ranked, document: Document, signals: Signals, question: str) -> Hit:
    matched = ranking.matches(document, question)
    why = ranking.reasons(document, matched, entry)
    return Hit(entry.urn, entry.score, why, trust_of(signals), matched)


def _by_trust(tiers: Sequence[Sequence[Candidate]], trust: Mapping[str, float]) -> Sequence[Ranked]:
    """Return all candidates, those of a tier by their trust, the score."""
    ranked: list[Ranked] = []
    ceiling = 1.0
    for number, tier in enumerate(tiers):
        entries = [
            Ranked(c.urn, number, ceiling * trust[c.urn], ceiling, candidate=c) for c in tier
        ]
        ranked += sorted(entries, key=lambda entry: entry.position)
        if entries:
            ceiling = ranked[-1].score
    return tuple(ranked)


def _facets(candidates: Sequence[Candidate], names: Names) -> Facets:
    has = [candidate.attributes for candidate in candidates]

    def counted(urns: Iterable[str | None]) -> tuple[FacetCount, ...]:
        counts = Counter(urn for urn in urns if urn is not None)
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_FACETS]
        return tuple(FacetCount(urn, names.label(urn), count) for urn, count in best)

    return Facets(
        platforms=counted(attributes.platform for attributes in has),
        tags=counted(urn for attributes in has for urn in attributes.tags),
        terms=counted(urn for attributes in has for urn in attributes.terms),
        domains=counted(attributes.domain for attributes in has),
        owners=counted(urn for attributes in has for urn in attributes.owners),
    )


_NOTHING = Signals()
_FRESHNESS = Check(Metric.FRESHNESS)
_QUERIES = Check(Metric.QUERY_COUNT)

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
