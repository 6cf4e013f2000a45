"""What detectors have learned, so that a series is judged without being fitted anew."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from dataspoke.quality.model import Check, StoredModel


class ModelReads(Protocol):
    async def models_of(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, StoredModel]]:
        """Return the models of each dataset; those without any are absent."""
        ...

    async def datasets_fitted_before(self, time: datetime) -> Sequence[str]:
        """Return the datasets with a model that was fitted earlier, in order."""
        ...


class ModelWrites(Protocol):
    async def save_models(self, models: Sequence[StoredModel]) -> None:
        """Replace models; one of the same basis that has judged further stays as it is."""
        ...
