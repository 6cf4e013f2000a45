"""Who may see which check of a dataset."""

from dataspoke.ports.hub import Access
from dataspoke.quality.model import Check, Metric

_FROM_OPERATIONS = (Metric.FRESHNESS, Metric.LATE_ARRIVAL, Metric.SLA)


def may_see(access: Access, check: Check) -> bool:
    """Tell whether a caller with this access may see verdicts and alerts of a check.

    All ask for the right to view the dataset's profile; what comes from its operations or usage
    asks for the right to view these as well.
    """
    if check.metric in _FROM_OPERATIONS:
        return access.view_profile and access.view_operations
    if check.metric is Metric.QUERY_COUNT:
        return access.view_profile and access.view_usage
    return access.view_profile
