"""How far a dataset can be relied on, from what is known of its data and its metadata. Pure.

The value is the weighted mean of the parts. What is not known counts one half: a dataset that
nobody judged stands between good and bad ones, and where nothing was judged trust changes no order.
"""

import math
from collections.abc import Callable, Sequence

from dataspoke.knowledge.model import Signals, Trust, TrustPart
from dataspoke.quality.model import Check, Severity, Status

UNKNOWN = 0.5
# So many queries a day are as good as any number above it.
_MANY_QUERIES = 1000
_FRESHNESS = {Status.PASS: 1.0, Status.WARN: 0.5, Status.FAIL: 0.0}
_FRESHNESS_NOTES = {
    Status.PASS: "loaded as usual",
    Status.WARN: "loaded somewhat late",
    Status.FAIL: "not loaded when it should have been",
}


def value_of(signals: Signals) -> float:
    """Return the trust in a dataset of which this is known, 0 to 1."""
    total = 0.0
    for _, weight, value, _ in _PARTS:
        known = value(signals)
        total += weight * (UNKNOWN if known is None else known)
    return round(total, 4)


def trust_of(signals: Signals) -> Trust:
    """Return the same with its five parts, in order."""
    return Trust(
        value_of(signals),
        tuple(
            TrustPart(name, known, weight, "not known" if known is None else note(signals))
            for name, weight, value, note in _PARTS
            for known in (value(signals),)
        ),
    )


def _alerts(signals: Signals) -> float | None:
    if signals.alerts is None:
        return None
    if not signals.alerts:
        return 1.0
    return 0.0 if _worst(signals.alerts) is Severity.ERROR else 0.5


def _alerts_note(signals: Signals) -> str:
    alerts = signals.alerts or ()
    if not alerts:
        return "no open alert"
    plural = "s" if len(alerts) > 1 else ""
    return f"{len(alerts)} open alert{plural}, the worst {_worst(alerts)}"


def _worst(alerts: Sequence[tuple[Check, Severity]]) -> Severity:
    return max((severity for _, severity in alerts), key=list(Severity).index)


def _deprecation(signals: Signals) -> float:
    return 0.0 if signals.deprecated else 1.0


def _deprecation_note(signals: Signals) -> str:
    return "deprecated" if signals.deprecated else "not deprecated"


def _freshness(signals: Signals) -> float | None:
    return None if signals.freshness is None else _FRESHNESS.get(signals.freshness)


def _freshness_note(signals: Signals) -> str:
    return "" if signals.freshness is None else _FRESHNESS_NOTES[signals.freshness]


def _documentation(signals: Signals) -> float | None:
    return None if signals.health is None else signals.health / 100


def _documentation_note(signals: Signals) -> str:
    return f"health of the metadata {signals.health:g} of 100"


def _usage(signals: Signals) -> float | None:
    if signals.queries is None:
        return None
    return min(1.0, math.log1p(max(0.0, signals.queries)) / math.log1p(_MANY_QUERIES))


def _usage_note(signals: Signals) -> str:
    return f"{signals.queries:g} queries a day"


# An error or a deprecation alone puts the best dataset below one that nobody judged. Popularity
# counts least, as it feeds on itself. The weights make 1.
_PARTS: Sequence[tuple[str, float, Callable[[Signals], float | None], Callable[[Signals], str]]] = (
    ("alerts", 0.35, _alerts, _alerts_note),
    ("deprecation", 0.35, _deprecation, _deprecation_note),
    ("freshness", 0.12, _freshness, _freshness_note),
    ("documentation", 0.10, _documentation, _documentation_note),
    ("usage", 0.08, _usage, _usage_note),
)
