"""Which dataset a name in SQL means, and which column."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from dataspoke.catalogue import Field
from dataspoke.knowledge.lexical import split_words
from dataspoke.urns import dataset_name, platform_of

_PRODUCTION = ",PROD)"
# Schemas that are meant where none is named, and that catalogues leave out as often as not.
_IMPLIED_SCHEMAS = frozenset({"main", "public", "dbo", "default"})


def simple_path(path: str) -> str:
    """Return a column's path as SQL writes it, without the types that DataHub may put in it."""
    return Field(path).name


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's name in SQL, as written: ``parts`` from the catalogue or schema to the table."""

    parts: tuple[str, ...]

    @property
    def last(self) -> str:
        return self.parts[-1]

    @property
    def text(self) -> str:
        return ".".join(self.parts)

    @classmethod
    def of(cls, table: exp.Table) -> "TableName":
        """Return the name of a table; only for one that is named, not computed."""
        return cls(tuple(part.name for part in table.parts))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What completes names: the platform's urn and the defaults; None where there is none."""

    platform: str | None = None
    default_database: str | None = None
    default_schema: str | None = None


def narrow(name: TableName, urns: Iterable[str], around: Surroundings) -> tuple[str, ...]:
    """Return those of some datasets with the right last component that a name can mean.

    The best come first, and only those of the best kind: what the qualifiers name, else what lies
    in the default schema, else all; of production rather than other environments.
    """
    wanted = [part.casefold() for part in name.parts[:-1]]
    found: list[tuple[int, str]] = []
    for urn in urns:
        if around.platform is not None and platform_of(urn) != around.platform:
            continue
        above = [part.casefold() for part in dataset_name(urn).split(".")[:-1]]
        rank = _rank(wanted, above, around)
        if rank is not None:
            found.append((2 * rank + (not urn.endswith(_PRODUCTION)), urn))
    if not found:
        return ()
    best = min(rank for rank, _ in found)
    return tuple(sorted(urn for rank, urn in found if rank == best))


def _rank(wanted: Sequence[str], above: Sequence[str], around: Surroundings) -> int | None:
    """Return how well qualifiers fit the components above a dataset's name; None for not."""
    shared = min(len(wanted), len(above))
    if list(wanted[len(wanted) - shared :]) != list(above[len(above) - shared :]):
        if wanted and wanted[-1] in _IMPLIED_SCHEMAS:
            return _rank(wanted[:-1], above, around) if wanted[-1] not in above else None
        return None
    # Qualifiers that the catalogue leaves out are good, yet not as good as those it has.
    rank = 0 if len(wanted) <= len(above) else 1
    left = list(above[: len(above) - shared])
    schema, database = around.default_schema, around.default_database
    if schema is not None and not wanted:
        if left and left[-1] == schema.casefold():
            left.pop()
        else:
            rank += 2
    if database is not None and len(wanted) < 2 and left and database.casefold() not in left:
        rank += 2
    return rank


def outside_defaults(name: TableName, urn: str, around: Surroundings) -> bool:
    """Tell whether a dataset is none of those that the defaults complete the name to."""
    path = [part.casefold() for part in dataset_name(urn).split(".")]
    rank = _rank([part.casefold() for part in name.parts[:-1]], path[:-1], around)
    return rank is None or rank >= 2


def nearest(wanted: str, names: Iterable[str], limit: int = 1) -> list[str]:
    """Return the names most like the one wanted, best first; empty where none is alike.

    Alike are names of the same words in another style, of few other letters, or that share most of
    their words.
    """
    key, words = wanted.casefold(), split_words(wanted)
    joined, parts = words.replace(" ", ""), set(words.split())
    scored: list[tuple[float, str]] = []
    for name in dict.fromkeys(names):
        other = split_words(name)
        if other.replace(" ", "") == joined:
            scored.append((2.0, name))
            continue
        matcher = difflib.SequenceMatcher(None, key, name.casefold())
        ratio = matcher.ratio() if matcher.real_quick_ratio() >= 0.5 else 0.0
        both = parts & set(other.split())
        overlap = 2 * len(both) / (len(parts) + len(other.split())) if parts and other else 0.0
        score = max(ratio if ratio >= 0.7 else 0.0, overlap if overlap >= 0.5 else 0.0)
        if score:
            scored.append((score, name))
    scored.sort(key=lambda entry: (-entry[0], entry[1]))
    return [name for _, name in scored[:limit]]


def folded(identifier: exp.Identifier, dialect: str) -> str:
    """Return an identifier as the database reads it: folded unless it is quoted, where it folds."""
    return Dialect.get_or_raise(dialect or None).normalize_identifier(identifier.copy()).name


def written(name: str, quoted: bool, dialect: str) -> str:
    """Return a name as SQL of the dialect writes it, quoted where it was or has to be."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name) is not None
    return exp.to_identifier(name, quoted=quoted or not plain).sql(dialect=dialect or None)
