"""Parsing of DataHub urns and the deterministic urns of what DataSpoke writes."""

import re
import uuid

from dataspoke.errors import InvalidInput

_DATASET = re.compile(r"urn:li:dataset:\((urn:li:dataPlatform:[^,()]+),(.+),([A-Z_]+)\)")
# Fixed for ever: what was written under it must be found again by the next release.
_NAMESPACE = uuid.UUID("6f6b2b54-3b53-5d0a-9d35-2f6f4a1c7e55")


def is_dataset(urn: str) -> bool:
    """Tell whether ``urn`` is a well-formed dataset urn."""
    return _DATASET.fullmatch(urn) is not None


def require_dataset(urn: str) -> str:
    """Return ``urn`` unchanged; raise InvalidInput where it is not a dataset urn."""
    if not is_dataset(urn):
        raise InvalidInput(
            f"{urn!r} is not a dataset urn; "
            "write it as urn:li:dataset:(urn:li:dataPlatform:PLATFORM,NAME,ENVIRONMENT)."
        )
    return urn


def dataset_name(urn: str) -> str:
    """Return the name inside a dataset urn, for example ``shop.orders``."""
    match = _DATASET.fullmatch(require_dataset(urn))
    assert match is not None  # noqa: S101  require_dataset has matched the same pattern
    return match.group(2)


def table_key(urn: str) -> str:
    """Return the last component of a dataset's name in lower case, as queries would name it.

    ``shop.Orders`` gives ``orders``, ``/data/2024/orders.csv`` gives ``orders.csv``.
    """
    name = dataset_name(urn).rstrip("/")
    return re.split(r"/" if "/" in name else r"\.", name)[-1].casefold()


def platform_of(urn: str) -> str | None:
    """Return the urn of a dataset's platform; None where it is not a dataset urn."""
    match = _DATASET.fullmatch(urn)
    return None if match is None else match.group(1)


def deterministic_id(*parts: str) -> uuid.UUID:
    """Return the same UUID for the same parts, on every machine and in every release (UUIDv5)."""
    # The unit separator cannot stand in a urn, so that ("a", "bc") and ("ab", "c") differ.
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts))


def assertion_urn(dataset_urn: str, check: str) -> str:
    """Return the urn of the external assertion that shows the verdict of a check, by its key."""
    return f"urn:li:assertion:{deterministic_id('assertion', dataset_urn, check)}"


def incident_urn(alert_id: uuid.UUID) -> str:
    """Return the urn of the incident that shows an alert in DataHub."""
    return f"urn:li:incident:{alert_id}"
