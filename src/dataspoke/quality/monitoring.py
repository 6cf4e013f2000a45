"""How datasets are watched, as their owners want it."""

from collections.abc import Mapping, Sequence

from dataspoke.errors import Forbidden, InvalidInput, NotFound
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.store import Store
from dataspoke.quality.model import MonitorSettings
from dataspoke.quality.service import scan_job

_MOST_EXCLUSIONS = 100


class MonitorService:
    """Shows and changes how the metrics of a dataset are watched."""

    def __init__(self, hub: Hub, store: Store) -> None:
        self._hub = hub
        self._store = store

    async def settings_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, MonitorSettings]:
        """Return how each dataset whose profile the actor may view is watched.

        Where nobody has said anything, the general way, with version 0.
        """
        access = await self._hub.access(actor, urns)
        visible = [urn for urn in urns if urn in access and access[urn].view_profile]
        known = await self._store.monitors_of(visible)
        return {urn: known.get(urn, MonitorSettings(urn)) for urn in visible}

    async def configure(self, actor: Actor, settings: MonitorSettings) -> MonitorSettings:
        """Watch a dataset in this way from its next scan on, which is asked for at once.

        Raises NotFound for a dataset that the actor cannot see, Forbidden without Edit Assertions,
        Conflict where somebody else has changed it since this version was read, and InvalidInput
        for what cannot be meant.
        """
        _require_sense(settings)
        access = (await self._hub.access(actor, [settings.urn])).get(settings.urn)
        if access is None:
            raise NotFound(f"There is no dataset {settings.urn}.")
        if not access.edit_assertions:
            raise Forbidden(
                f"Changing how {settings.urn} is watched needs the privilege Edit Assertions."
            )
        async with self._store.transaction() as tx:
            await tx.save_monitor(settings)
            await tx.add_jobs([scan_job(settings.urn)])
            await tx.audit(actor.urn, "configure_monitor", [settings.urn])
        return (await self._store.monitors_of([settings.urn]))[settings.urn]


def _require_sense(settings: MonitorSettings) -> None:
    budget = settings.alerts_per_fortnight
    if budget is not None and not 0 < budget <= 14:
        raise InvalidInput(
            f"alertsPerFortnight is {budget:g}; give more than 0 and at most 14, or null for the "
            "general setting."
        )
    country = settings.country
    if country is not None and not (len(country) == 2 and country.isalpha() and country.isupper()):
        raise InvalidInput(f"country is {country!r}; give two capital letters, such as DE.")
    if len(settings.exclusions) > _MOST_EXCLUSIONS:
        raise InvalidInput(
            f"exclusions holds {len(settings.exclusions)} windows; {_MOST_EXCLUSIONS} are the most."
        )
    for window in settings.exclusions:
        if not window.start < window.end:
            raise InvalidInput(
                f"An exclusion starts at {window.start.isoformat()} and ends at "
                f"{window.end.isoformat()}; let it end after it starts."
            )
