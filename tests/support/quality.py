"""Quality Control on whatever ports a test has, with no database that rules could ask."""

from dataspoke.adapters.warehouses import SqlWarehouses
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Hub
from dataspoke.ports.store import Store
from dataspoke.quality.rules.service import RuleService
from dataspoke.quality.service import QualityService
from dataspoke.settings import QualitySettings

AT_ONCE = QualitySettings(grouping_wait_s=0)


def quality_service(
    hub: Hub,
    store: Store,
    feed: Feed,
    compute: Compute,
    clock: Clock,
    settings: QualitySettings = AT_ONCE,
) -> QualityService:
    """Return the service that scans; alerts are announced without waiting for others."""
    rules = RuleService(hub, store, SqlWarehouses({}), clock)
    return QualityService(hub, store, feed, compute, clock, rules, settings)
