"""Stored models in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ARRAY, Executable, Row, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import insert

from dataspoke.adapters.postgres.tables import quality_models
from dataspoke.quality.model import Check, StoredModel

_CHANGING = ("basis", "state", "fitted_at", "judged_until", "failing_since")
_new = insert(quality_models)
_SAVE = _new.on_conflict_do_update(
    index_elements=["urn", "check_key"],
    set_={name: _new.excluded[name] for name in _CHANGING},
    where=(quality_models.c.judged_until <= _new.excluded.judged_until)
    | (quality_models.c.basis != _new.excluded.basis),
)


class ModelReads(Protocol):
    """Mixed into the store."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]: ...

    async def models_of(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, StoredModel]]:
        found = select(quality_models).where(
            quality_models.c.urn == any_(literal(list(urns), ARRAY(Text)))
        )
        models: dict[str, dict[Check, StoredModel]] = {}
        for row in await self._rows(found):
            check = Check.parse(row.check_key)
            models.setdefault(row.urn, {})[check] = StoredModel(
                row.urn,
                check,
                row.basis,
                row.state,
                row.fitted_at,
                row.judged_until,
                row.failing_since,
            )
        return models

    async def datasets_fitted_before(self, time: datetime) -> Sequence[str]:
        found = select(quality_models.c.urn).where(quality_models.c.fitted_at < time).distinct()
        return sorted(row.urn for row in await self._rows(found))


class ModelWrites(Protocol):
    """Mixed into the transaction."""

    async def _save(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None: ...

    async def save_models(self, models: Sequence[StoredModel]) -> None:
        # In one order, so that two transactions with the same models cannot deadlock.
        ordered = sorted(models, key=lambda model: (model.urn, model.check.key))
        await self._save(
            _SAVE,
            [
                {
                    "urn": model.urn,
                    "check_key": model.check.key,
                    **{name: getattr(model, name) for name in _CHANGING},
                }
                for model in ordered
            ],
        )
