"""Which SQL the platforms of a catalogue speak. Pure."""

import logging
from collections.abc import Mapping
from functools import lru_cache

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy

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


@lru_cache(maxsize=65_536)
def identifier(name: str, platform: str) -> str:
    """Return a name as the SQL of a platform writes it, in quotes where it would not be found else.

    Where unquoted names are folded to capitals, the catalogue may hold them in small letters: there
    only mixed ones are quoted.
    """
    dialect = dialect_of(platform)
    strategy = Dialect.get_or_raise(dialect).normalization_strategy
    folded = {
        NormalizationStrategy.LOWERCASE: (name.lower(),),
        NormalizationStrategy.UPPERCASE: (name.lower(), name.upper()),
    }.get(strategy, (name,))
    quoted = (dialect is not None and name not in folded) or not exp.SAFE_IDENTIFIER_RE.match(name)
    return exp.to_identifier(name, quoted=quoted).sql(dialect=dialect)
