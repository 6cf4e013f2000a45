"""A dataset where it is mentioned: only its urn, the rest is resolved when asked for."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

if TYPE_CHECKING:
    from dataspoke.schema.dataset import Dataset

# Nullable wherever it is used: DataHub's fields of Dataset that are not null would take the
# whole item along with them when the hub does not answer.
DatasetReference: TypeAlias = Annotated["Dataset", strawberry.lazy("dataspoke.schema.dataset")]


def dataset(urn: str) -> "Dataset":
    # The one cycle of this schema: a dataset has alerts, and an alert has a dataset.
    from dataspoke.schema.dataset import Dataset

    return Dataset(urn=urn)
