"""The type of ``info`` in every field of this schema."""

from typing import TypeAlias

import strawberry

from dataspoke.resolvers.context import Context

Info: TypeAlias = strawberry.Info[Context, None]
