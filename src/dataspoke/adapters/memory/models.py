"""Stored models in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dataspoke.quality.model import Check, StoredModel

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import Tables


class ModelReads(Protocol):
    """Mixed into the store."""

    _tables: "Tables"

    async def models_of(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, StoredModel]]:
        models: dict[str, dict[Check, StoredModel]] = {}
        for (urn, check), model in self._tables.models.items():
            if urn in urns:
                models.setdefault(urn, {})[check] = model
        return models

    async def datasets_fitted_before(self, time: datetime) -> Sequence[str]:
        return sorted({m.urn for m in self._tables.models.values() if m.fitted_at < time})


class ModelWrites(Protocol):
    """Mixed into the transaction."""

    _tables: "Tables"

    async def save_models(self, models: Sequence[StoredModel]) -> None:
        for model in models:
            known = self._tables.models.get((model.urn, model.check))
            newer = known is None or known.judged_until <= model.judged_until
            if newer or (known is not None and known.basis != model.basis):
                self._tables.models[model.urn, model.check] = model
