"""Which SQL the platforms of a catalogue speak. Pure."""

import logging
from collections.abc import Mapping

# What it cannot read is skipped or reported by who asked; its log would repeat people's queries.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

# DataHub's platforms to sqlglot's dialects, where the two differ or one stands for another.
_DIALECTS: Mapping[str, str] = {
    "cockroachdb": "postgres",
    "delta-lake": "databricks",
    "fabric-onelake": "fabric",
    "glue": "athena",
    "greenplum": "postgres",
    "iceberg": "spark",
    "impala": "hive",
    "mariadb": "mysql",
    "mssql": "tsql",
    "presto-on-hive": "hive",
    "starburst": "trino",
    "synapse": "tsql",
    "timescaledb": "postgres",
    "unity-catalog": "databricks",
    "vertica": "postgres",
    **{
        name: name
        for name in (
            "athena", "bigquery", "clickhouse", "databricks", "doris", "dremio", "druid", "duckdb",
            "hive", "mysql", "oracle", "postgres", "presto", "redshift", "snowflake", "spark",
            "sqlite", "starrocks", "teradata", "trino",
        )
    },
}  # fmt: skip


def dialect_of(platform: str) -> str | None:
    """Return sqlglot's name of the SQL that a platform speaks, by its urn or its name.

    None where it is not known, which sqlglot takes for a dialect that knows a bit of all.
    """
    return _DIALECTS.get(platform.rpartition(":")[2].lower())
