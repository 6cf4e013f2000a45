"""What detectors have learned, so that a series is judged without being fitted anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataspoke.quality.model import Check


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The state of the detector of one series, after all points up to ``judged_until``.

    ``version`` is that of the state's format: what reads another one fits anew.
    """

    urn: str
    check: Check
    version: int
    state: bytes
    fitted_at: datetime
    judged_until: datetime


class ModelReads(Protocol):
    async def models_of(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, StoredModel]]:
        """Return the models of each dataset; those without any are absent."""
        ...

    async def datasets_fitted_before(self, time: datetime) -> Sequence[str]:
        """Return the datasets with a model that was fitted earlier, in order."""
        ...


class ModelWrites(Protocol):
    async def save_models(self, models: Sequence[StoredModel]) -> None:
        """Replace models; one that has judged further than what comes stays as it is."""
        ...
