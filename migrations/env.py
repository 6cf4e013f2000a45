"""Runs migrations on the connection it is given, all of them in one transaction."""

from alembic import context
from sqlalchemy import text

from dataspoke.adapters.postgres.tables import NEAREST_INDEX_PREFIX, metadata

# Any number that no other program locks in the same database.
_MIGRATING = 7_366_111_001


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    # The index of each model's vectors is made while the service runs.
    return not (kind == "index" and name is not None and name.startswith(NEAREST_INDEX_PREFIX))


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, include_name=_is_ours)

with context.begin_transaction():
    # A second process waits here and then finds everything done. Before the time limits: it may
    # have to wait longer than they allow.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
    # A migration that cannot get its lock at once would make everybody queue behind it.
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    connection.execute(text("SET LOCAL statement_timeout = '5min'"))
    context.run_migrations()
