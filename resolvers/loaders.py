"""DataLoaders: whatever number of datasets a query names, each service is asked once."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from dataspoke.health.model import HealthScore
from dataspoke.knowledge.model import Difference, Hit, Neighbourhood
from dataspoke.ports.hub import Actor
from dataspoke.quality.model import Alert, DatasetQuality, Impact, MonitorSettings, Result
from dataspoke.quality.notifications.model import Delivery
from dataspoke.quality.rules.model import Rule
from dataspoke.quality.sla.model import Sla
from dataspoke.resolvers.services import Alerts, Notifications, Services

T = TypeVar("T")
# Dataset urns, or pairs of them.
K = TypeVar("K", str, tuple[str, str])
Load = Callable[[Actor, Sequence[K]], Awaitable[Mapping[K, T]]]
LoadSome = Callable[[Actor, Sequence[str], int], Awaitable[Mapping[str, Sequence[T]]]]
# A dataset urn with how many items of it are asked for.
Slice = tuple[str, int]


class Loaders:
    """One set for each request. Without ``cache`` they batch and remember nothing."""

    def __init__(
        self, services: Services, actor: Callable[[], Awaitable[Actor]], *, cache: bool
    ) -> None:
        self._actor = actor
        quality, health, search = services.quality, services.health, services.search
        self.quality: DataLoader[str, DatasetQuality | None] = DataLoader(
            self._by_key(quality.verdicts_for), cache=cache
        )
        self.active_alerts: DataLoader[str, Sequence[Alert] | None] = DataLoader(
            self._by_key(services.alerts.active_for), cache=cache
        )
        self.impact: DataLoader[str, Impact | None] = DataLoader(
            self._by_key(services.alerts.impact_of), cache=cache
        )
        self.victims: DataLoader[UUID, Sequence[Alert]] = DataLoader(
            self._victims(services.alerts), cache=cache
        )
        self.deliveries: DataLoader[Alert, Sequence[Delivery] | None] = DataLoader(
            self._deliveries(services.notifications), cache=cache
        )
        self.monitors: DataLoader[str, MonitorSettings | None] = DataLoader(
            self._by_key(services.monitors.settings_for), cache=cache
        )
        self.rules: DataLoader[str, Sequence[Rule] | None] = DataLoader(
            self._by_key(services.rules.rules_for), cache=cache
        )
        self.slas: DataLoader[str, Sla | None] = DataLoader(
            self._by_key(services.slas.slas_for), cache=cache
        )
        self.results: DataLoader[Slice, Sequence[Result]] = DataLoader(
            self._by_slice(quality.results_for), cache=cache
        )
        self.health: DataLoader[str, HealthScore | None] = DataLoader(
            self._by_key(health.scores_for), cache=cache
        )
        self.similar: DataLoader[Slice, Sequence[Hit]] = DataLoader(
            self._by_slice(search.similar_to), cache=cache
        )
        self.differences: DataLoader[tuple[str, str], Difference | None] = DataLoader(
            self._by_key(search.differences), cache=cache
        )
        self.lineage: DataLoader[str, Neighbourhood | None] = DataLoader(
            self._by_key(search.lineage_of), cache=cache
        )

    def _by_key(self, load: Load[K, T]) -> Callable[[list[K]], Awaitable[Sequence[T | None]]]:
        async def batch(keys: list[K]) -> Sequence[T | None]:
            found = await load(await self._actor(), tuple(dict.fromkeys(keys)))
            return [found.get(key) for key in keys]

        return batch

    def _victims(self, alerts: Alerts) -> Callable[[list[UUID]], Awaitable[list[Sequence[Alert]]]]:
        async def batch(causes: list[UUID]) -> list[Sequence[Alert]]:
            found = await alerts.explained_by(await self._actor(), tuple(dict.fromkeys(causes)))
            return [found.get(cause, ()) for cause in causes]

        return batch

    def _deliveries(
        self, notifications: Notifications
    ) -> Callable[[list[Alert]], Awaitable[list[Sequence[Delivery] | None]]]:
        async def batch(alerts: list[Alert]) -> list[Sequence[Delivery] | None]:
            found = await notifications.deliveries_for(await self._actor(), alerts)
            return [found.get(alert.id) for alert in alerts]

        return batch

    def _by_slice(
        self, load: LoadSome[T]
    ) -> Callable[[list[Slice]], Awaitable[Sequence[Sequence[T]]]]:
        async def batch(slices: list[Slice]) -> Sequence[Sequence[T]]:
            urns_by_limit: defaultdict[int, dict[str, None]] = defaultdict(dict)
            for urn, limit in slices:
                urns_by_limit[limit][urn] = None
            actor = await self._actor()
            # One call for each different limit: a query has few of them, as aliases are limited.
            found = await asyncio.gather(
                *(load(actor, tuple(urns), limit) for limit, urns in urns_by_limit.items())
            )
            by_limit = dict(zip(urns_by_limit, found, strict=True))
            return [by_limit[limit].get(urn, ()) for urn, limit in slices]

        return batch
