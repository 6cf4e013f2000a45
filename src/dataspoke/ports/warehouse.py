"""The databases that the catalogue is about, where rules may ask them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataspoke.catalogue import Dataset


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an answer; ``more`` were left out where there are more than may be."""

    rows: Sequence[Sequence[Any]]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A dataset's table: the connection by name, its SQL dialect, and the parts of its name."""

    connection: str
    dialect: str
    parts: tuple[str, ...]


class Warehouses(Protocol):
    """Registered connections, by name. Nothing that is asked of one can change it."""

    def table(self, dataset: Dataset, connection: str | None) -> Table | None:
        """Return where a dataset's table is: on the connection named, else by the settings.

        None where the settings name no connection for it. Raises ConfigurationError where the
        connection is not registered.
        """
        ...

    def dialect(self, connection: str) -> str:
        """Return the SQL dialect; raises ConfigurationError where it is not registered."""
        ...

    async def select(self, connection: str, sql: str) -> Rows:
        """Return the answer to one SELECT, run in a read-only transaction of its own.

        Raises InvalidInput for any other statement, DependencyTimeout where it takes longer than
        the connection's limit, DependencyRejected where the database refuses it,
        DependencyUnavailable where it cannot be reached, and ConfigurationError where the
        connection is not registered or its address cannot be used. No message holds the address.
        """
        ...
