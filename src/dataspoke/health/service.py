"""Metadata health: audits of all datasets, scores and the ranking, as the caller may see them."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

from dataspoke.errors import InvalidInput
from dataspoke.health import scoring
from dataspoke.health.model import HealthScore, RankingPage
from dataspoke.ports.clock import Clock
from dataspoke.ports.hub import Actor, Hub, Scores
from dataspoke.ports.store import JobKind, Lease, NewJob, Store
from dataspoke.urns import deterministic_id

AUDIT_BATCH = 50
MAX_PAGE = 100
_SCROLL_BATCH = 500
# How many scores one turn of the ranking reads at most, and asks the caller's rights of.
_RANKING_BATCH = 500


class HealthService:
    """Scores datasets by ``scoring.RULES``; a dataset that was never scored has no score."""

    def __init__(self, hub: Hub, store: Store, clock: Clock) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock

    async def audit_all(self, lease: Lease | None) -> None:
        """Add jobs that audit every dataset, and those that the hub no longer has."""
        urns = set(await self._store.known_datasets())
        async for batch in self._hub.scroll(_SCROLL_BATCH):
            urns.update(batch)
        # In order, so that a repeated run makes the same batches and joins the waiting jobs.
        ordered = sorted(urns)
        batches = [ordered[at : at + AUDIT_BATCH] for at in range(0, len(ordered), AUDIT_BATCH)]
        async with self._store.transaction(lease) as tx:
            await tx.add_jobs([audit_job(batch) for batch in batches])

    async def audit(self, lease: Lease | None, urns: Sequence[str]) -> None:
        """Score these datasets; forget what was known of those that the hub has no more."""
        now = self._clock.now()
        found = await self._hub.datasets(urns)
        present = [dataset for dataset in found.values() if not dataset.removed]
        scores = [scoring.score(dataset, now) for dataset in present]
        scored = sorted(dataset.urn for dataset in present)
        gone = sorted(set(urns) - set(scored))
        async with self._store.transaction(lease) as tx:
            await tx.save_health(scores)
            await tx.forget(gone)
            if scored:
                await tx.add_jobs([_job(JobKind.WRITE_BACK_HEALTH, scored)])

    async def write_back(self, lease: Lease | None, urns: Sequence[str]) -> None:
        """Show the latest scores in the hub; a dataset deleted meanwhile is not written to."""
        scores = await self._store.health_of(urns)
        found = await self._hub.datasets(list(scores))
        await self._hub.write_scores(
            [
                Scores(urn, quality=None, health=scores[urn].value)
                for urn, dataset in found.items()
                if not dataset.removed
            ]
        )
        async with self._store.transaction(lease):
            pass  # The write is done; this marks the job so.

    async def scores_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, HealthScore]:
        """Return the latest scores; absent are never scored datasets and those not to be seen."""
        visible = await self._hub.access(actor, urns)
        return await self._store.health_of([urn for urn in urns if urn in visible])

    async def ranking(
        self, actor: Actor, ascending: bool, first: int, after: str | None
    ) -> RankingPage:
        """Return the next ``first`` datasets by score, from the lowest if ``ascending``.

        The page holds only datasets that the actor may see, and is full as long as there are any.
        ``after`` is a cursor of an earlier page with the same order, None for the start. Raises
        InvalidInput where ``first`` is not 1 to 100 or ``after`` is no such cursor.
        """
        if not 1 <= first <= MAX_PAGE:
            raise InvalidInput(f"first is {first}; ask for 1 to {MAX_PAGE} datasets.")
        place = _place(after, ascending) if after is not None else None
        page: list[HealthScore] = []
        # One more than asked for tells whether there is a next page.
        limit = first + 1
        while len(page) <= first:
            scores = await self._store.health_ranking(ascending, place, limit)
            visible = await self._hub.access(actor, [score.urn for score in scores])
            page += [score for score in scores if score.urn in visible]
            if len(scores) < limit:
                break
            place = (scores[-1].value, scores[-1].urn)
            # Who sees little is not made to wait for many small reads.
            limit = min(limit * 4, _RANKING_BATCH)
        shown = tuple(page[:first])
        return RankingPage(
            scores=shown,
            cursors=tuple(_cursor(score, ascending) for score in shown),
            has_next=len(page) > first,
        )


def audit_job(urns: Sequence[str]) -> NewJob:
    """Return the job that audits up to AUDIT_BATCH datasets; while it waits, the same joins it."""
    return _job(JobKind.AUDIT_DATASETS, urns)


def _job(kind: JobKind, urns: Sequence[str]) -> NewJob:
    # The key stands for the batch: fifty urns would not fit into an index entry.
    return NewJob(kind, {"urns": list(urns)}, dedupe_key=f"{kind}:{deterministic_id(kind, *urns)}")


def _cursor(score: HealthScore, ascending: bool) -> str:
    place = json.dumps([ascending, score.value, score.urn], separators=(",", ":"))
    return base64.urlsafe_b64encode(place.encode()).decode()


def _place(cursor: str, ascending: bool) -> tuple[float, str]:
    try:
        match json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True)):
            case [bool(order), float(value), str(urn)] if order is ascending:
                return value, urn
    except (binascii.Error, ValueError):
        pass
    raise InvalidInput(
        f"after is {cursor!r}, which is no cursor of this ranking; "
        "use one that came with an earlier page in the same order."
    )
