"""The context that a model needs to answer a question in SQL, as somebody may see it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from dataspoke.errors import InvalidInput
from dataspoke.knowledge.dialects import dialect_of
from dataspoke.knowledge.joining import bridges, known_joins
from dataspoke.knowledge.model import SearchFilters, SearchPage, Snapshot
from dataspoke.knowledge.personal import PERSONAL_WORDS, personal_columns
from dataspoke.knowledge.prompt import Relevant, context_of
from dataspoke.knowledge.sql_context import ContextWarning, SqlContext, WarningKind
from dataspoke.ports.clock import Clock
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.store import Store
from dataspoke.quality.model import Alert, DatasetQuality, Dimension, Status
from dataspoke.urns import dataset_name, platform_of

MIN_BUDGET, MAX_BUDGET = 200, 32_000
# Tables that a question may be about, and those of them that are tied together by joins.
_FOUND = 30
_MAX_TABLES = 24
_TIED = 6
# Less relevant than this share of the best is not relevant.
_LEAST = 0.4
# So many of its best tables decide for a platform.
_DECIDING = 3
_MAX_NEIGHBOURS = 60
# What says nothing of when a dataset is due is stale when nothing has changed for so long.
_STALE = timedelta(days=45)


class Search(Protocol):
    """Finds datasets that the actor may see, best first."""

    async def search(
        self,
        actor: Actor,
        question: str,
        filters: SearchFilters,
        first: int,
        after: str | None,
        *,
        interpret: bool,
    ) -> SearchPage: ...


class Quality(Protocol):
    """Verdicts; what the actor may not see is absent."""

    async def verdicts_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, DatasetQuality]: ...


class Alerts(Protocol):
    """Alerts that have not ended; what the actor may not see is absent."""

    async def active_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Sequence[Alert]]: ...


class ContextService:
    """Finds the tables of a question and says what is known of them."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        search: Search,
        quality: Quality,
        alerts: Alerts,
        clock: Clock,
        personal_words: frozenset[str] = PERSONAL_WORDS,
    ) -> None:
        """``personal_words`` mark the labels of personal data, in lower case."""
        self._hub = hub
        self._store = store
        self._search = search
        self._quality = quality
        self._alerts = alerts
        self._clock = clock
        self._personal_words = personal_words

    async def context_for(
        self, actor: Actor, question: str, platform: str | None, token_budget: int
    ) -> SqlContext:
        """Return the tables, joins and warnings for a question, all of it the actor may see.

        ``platform`` is a name or an urn; with None it is the one that the best answers are on.
        Raises InvalidInput for a question or a budget that cannot be used.
        """
        if not MIN_BUDGET <= token_budget <= MAX_BUDGET:
            raise InvalidInput(
                f"`tokenBudget` is {token_budget}; ask for {MIN_BUDGET} to {MAX_BUDGET} tokens."
            )
        filters = SearchFilters(platforms=(_platform_urn(platform),) if platform else ())
        # The words of such a question are about the data, not about who owns or tagged a table.
        page = await self._search.search(actor, question, filters, _FOUND, None, interpret=False)
        scores = _on_one_platform({hit.urn: hit.score for hit in page.hits})
        snapshots = await self._known(actor, scores)
        relevant = _relevant(scores, snapshots)
        shown = {urn: snapshots[urn] for urn in relevant}
        personal = {
            urn: personal_columns(each.dataset, self._personal_words) for urn, each in shown.items()
        }
        warnings = await self._warnings(actor, shown, personal)
        tables = [
            Relevant(each, relevant[urn], warnings[urn], urn not in scores, personal[urn])
            for urn, each in shown.items()
        ]
        joins = known_joins(shown)
        return context_of(question, tables, joins, token_budget, page.notice)

    async def _known(self, actor: Actor, scores: Mapping[str, float]) -> dict[str, Snapshot]:
        """Return what the actor may know of the tables found and of those joined with them."""
        found = dict(await self._store.snapshots(list(scores)))
        joined: Counter[str] = Counter()
        for urn, snapshot in found.items():
            for join in snapshot.joins:
                if join.other not in found and platform_of(join.other) == platform_of(urn):
                    joined[join.other] += 1
        wanted = [urn for urn, _ in joined.most_common(_MAX_NEIGHBOURS)]
        access = await self._hub.access(actor, [*found, *wanted])
        found |= await self._store.snapshots([urn for urn in wanted if urn in access])
        return {
            urn: each if access[urn].view_usage else without_usage(each)
            for urn, each in found.items()
            if urn in access and not each.dataset.removed
        }

    async def _warnings(
        self,
        actor: Actor,
        snapshots: Mapping[str, Snapshot],
        personal: Mapping[str, frozenset[str]],
    ) -> Mapping[str, tuple[ContextWarning, ...]]:
        urns = list(snapshots)
        replacements = sorted({s.dataset.replacement or "" for s in snapshots.values()} - {""})
        visible = await self._hub.access(actor, replacements) if replacements else {}
        verdicts = await self._quality.verdicts_for(actor, urns)
        alerts = await self._alerts.active_for(actor, urns)
        now = self._clock.now()
        return {
            urn: tuple(
                warnings_of(
                    snapshot,
                    alerts.get(urn, ()),
                    verdicts.get(urn),
                    replaceable=snapshot.dataset.replacement in visible,
                    personal=bool(personal[urn]),
                    now=now,
                )
            )
            for urn, snapshot in snapshots.items()
        }


def without_usage(snapshot: Snapshot) -> Snapshot:
    """Return what is known of a dataset by its metadata, and not by the queries on it."""
    declared = {
        (frozenset(zip(key.columns, key.foreign_columns, strict=False)), key.dataset)
        for key in snapshot.dataset.foreign_keys
    }
    joins = tuple(
        replace(join, count=0)
        for join in snapshot.joins
        if (frozenset(zip(join.columns, join.other_columns, strict=True)), join.other) in declared
    )
    return replace(snapshot, joins=joins, filters=())


def warnings_of(
    snapshot: Snapshot,
    alerts: Sequence[Alert],
    verdict: DatasetQuality | None,
    *,
    replaceable: bool,
    personal: bool,
    now: datetime,
) -> Iterator[ContextWarning]:
    """Yield what somebody who uses a dataset must know, the worst first.

    ``replaceable`` tells whether its replacement may be named, ``personal`` whether it holds
    personal data.
    """
    dataset = snapshot.dataset
    if dataset.deprecated:
        replacement = dataset.replacement if replaceable else None
        text = f"Deprecated. {dataset.deprecation_note or ''}".strip()
        if replacement:
            text += f" Use {dataset_name(replacement)}."
        yield ContextWarning(WarningKind.DEPRECATED, text, replacement)
    if alerts:
        more = {1: "", 2: " 1 more alert is open."}.get(
            len(alerts), f" {len(alerts) - 1} more alerts are open."
        )
        yield ContextWarning(WarningKind.OPEN_ALERT, f"Open alert: {alerts[0].message}{more}")
    statuses = {} if verdict is None else {d.dimension: d.status for d in verdict.dimensions}
    if not alerts and verdict is not None and verdict.status is Status.FAIL:
        failing = sorted(d.value.lower() for d, status in statuses.items() if status is Status.FAIL)
        yield ContextWarning(WarningKind.FAILING, f"Fails its checks of {', '.join(failing)}.")
    fresh = statuses.get(Dimension.FRESHNESS)
    if fresh is Status.FAIL:
        yield ContextWarning(WarningKind.STALE, "Not updated when it should have been.")
    elif fresh is None and dataset.last_updated and now - dataset.last_updated > _STALE:
        yield ContextWarning(
            WarningKind.STALE, f"Not updated since {dataset.last_updated:%Y-%m-%d}."
        )
    if personal:
        yield ContextWarning(WarningKind.PERSONAL_DATA, "Holds personal data.")
    if not dataset.description and not any(column.description for column in dataset.fields):
        yield ContextWarning(WarningKind.UNDOCUMENTED, "Nobody has described it.")


def _platform_urn(platform: str) -> str:
    prefix = "urn:li:dataPlatform:"
    return platform if platform.startswith(prefix) else f"{prefix}{platform}"


def _on_one_platform(scores: Mapping[str, float]) -> Mapping[str, float]:
    """Return the tables of the platform that has the best ones: SQL does not join over two.

    What is known to be asked by SQL comes before what is not, such as topics.
    """
    best: dict[str, list[float]] = {}
    for urn, score in sorted(scores.items(), key=lambda item: -item[1]):
        best.setdefault(platform_of(urn) or "", []).append(score)
    if not best:
        return {}
    chosen = max(best, key=lambda p: (dialect_of(p) is not None, sum(best[p][:_DECIDING]), p))
    return {urn: score for urn, score in scores.items() if platform_of(urn) == chosen}


def _relevant(
    scores: Mapping[str, float], snapshots: Mapping[str, Snapshot]
) -> Mapping[str, float]:
    """Return the tables that a question is about and those that join them, with their scores."""
    least = _LEAST * max(scores.values(), default=0.0)
    ordered = sorted(
        (urn for urn, score in scores.items() if score >= least and urn in snapshots),
        key=lambda urn: (-scores[urn], urn),
    )[:_MAX_TABLES]
    found = {urn: scores[urn] for urn in ordered}
    tied = ordered[:_TIED]
    for urn, place in bridges(tied, known_joins(snapshots)).items():
        # It is wanted as much as the later of the tables that it joins.
        found[urn] = max(found.get(urn, 0.0), 0.99 * scores[tied[place]])
    return found
