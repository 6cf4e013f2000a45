"""Who a caller is and what they may do, asked with their own token and remembered briefly."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from cachetools import TTLCache

from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.entities import data_of, read_entities
from dataspoke.adapters.datahub.parsing import access_of, is_visible
from dataspoke.errors import DependencyRejected, Unauthenticated
from dataspoke.ports.hub import Access, Actor
from dataspoke.urns import is_dataset

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BATCH = 100
_MAX_ACTORS = 10_000
_MAX_RIGHTS = 100_000


class _Known(NamedTuple):
    urn: str
    can_manage: bool
    groups: tuple[str, ...]


class Callers:
    """Callers of DataSpoke. An error of the hub is raised and never remembered.

    What is remembered is filed under a digest: no token is kept here.
    """

    def __init__(self, connection: Connection, ttl_s: float) -> None:
        self._connection = connection
        self._actors: _Remembered[str, _Known] = _Remembered(_MAX_ACTORS, ttl_s)
        self._rights: _Remembered[tuple[str, str], Access | None] = _Remembered(_MAX_RIGHTS, ttl_s)

    async def actor(self, token: str) -> Actor:
        """Return whose token it is; raises Unauthenticated where the hub does not accept it."""
        digest = _digest(token)

        async def ask(_: Sequence[str]) -> Mapping[str, _Known]:
            return {digest: await self._ask_who(token)}

        known = (await self._actors.get([digest], ask))[digest]
        return Actor(known.urn, token, known.can_manage, known.groups)

    async def access(self, actor: Actor, urns: Sequence[str]) -> dict[str, Access]:
        """Return what the actor may do with each dataset that they may see."""
        digest = _digest(actor.token)

        async def ask(
            keys: Sequence[tuple[str, str]],
        ) -> Mapping[tuple[str, str], Access | None]:
            granted = await self._ask_rights(actor.token, [urn for _, urn in keys])
            return {key: granted.get(key[1]) for key in keys}

        keys = [(digest, urn) for urn in urns if is_dataset(urn)]
        rights = await self._rights.get(keys, ask)
        return {urn: access for (_, urn), access in rights.items() if access is not None}

    async def close(self) -> None:
        await self._actors.close()
        await self._rights.close()

    async def _ask_who(self, token: str) -> _Known:
        answer = await self._connection.execute("me", {}, token)
        try:
            me = data_of(answer, "the caller")["me"]
            user = me["corpUser"]
            member_of = (user.get("relationships") or {}).get("relationships", ())
            groups = tuple(str(one["entity"]["urn"]) for one in member_of if one["entity"])
            # Who may start ingestion may have DataSpoke read and write the whole catalogue.
            can_manage = me["platformPrivileges"]["manageIngestion"] is True
            return _Known(str(user["urn"]), can_manage, groups)
        except (KeyError, TypeError) as error:
            raise DependencyRejected("hub", "DataHub did not say who the caller is.") from error

    async def _ask_rights(self, token: str, urns: Sequence[str]) -> dict[str, Access]:
        entities = await read_entities(self._connection, "access", urns, _BATCH, {}, token)
        return {urn: access_of(entity) for urn, entity in entities.items() if is_visible(entity)}


def _digest(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        # It cannot be sent in a header.
        raise Unauthenticated("The hub does not accept this token.")
    return hashlib.sha256(token.encode()).hexdigest()


class _Remembered(Generic[K, V]):
    """Answers by key, for a time; a key that is being asked for is not asked for again."""

    def __init__(self, size: int, ttl_s: float) -> None:
        self._answers: TTLCache[K, V] = TTLCache(size, ttl_s)
        self._asked: dict[K, asyncio.Task[Mapping[K, V]]] = {}

    async def get(
        self, keys: Iterable[K], ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> dict[K, V]:
        """Return the answer to every key; ``ask`` is called for those not known, all together."""
        found: dict[K, V] = {}
        waiting: dict[K, asyncio.Task[Mapping[K, V]]] = {}
        missing: list[K] = []
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            try:
                found[key] = self._answers[key]
            except KeyError:
                if key in self._asked:
                    waiting[key] = self._asked[key]
                else:
                    missing.append(key)
        if missing:
            task = asyncio.create_task(self._ask(missing, ask))
            task.add_done_callback(_heard)
            waiting |= dict.fromkeys(missing, task)
            self._asked |= dict.fromkeys(missing, task)
        for key, asked in waiting.items():
            # Shielded: others may wait for the same, when one of them gives up.
            found[key] = (await asyncio.shield(asked))[key]
        return {key: found[key] for key in wanted}

    async def close(self) -> None:
        """End what is being asked for."""
        tasks = set(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, keys: Sequence[K], ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> Mapping[K, V]:
        try:
            answers = await ask(keys)
            self._answers.update(answers)
            return answers
        finally:
            for key in keys:
                del self._asked[key]


def _heard(task: asyncio.Task[object]) -> None:
    # Where everybody who waited has given up, nobody else looks at the error.
    if not task.cancelled():
        task.exception()
