"""Pages of search results, kept for the caller who asked."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from dataspoke.knowledge.model import SearchPage
from dataspoke.ports.cache import Cache

# Raise it when a page of an older release must not be read any more.
_FORMAT = 1
_GENERATION = "search:generation"
# Far longer than any page is kept.
_GENERATION_TTL = timedelta(days=1)


# By the standard library's json: others refuse halves of surrogate pairs, which hubs hold.
_KEPT = TypeAdapter(tuple[str, SearchPage])


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answer to one question of one caller is kept, in this state of the index."""

    key: str
    generation: str


class Pages:
    """Keeps pages in a cache, for ``ttl`` or until the index changes; zero keeps nothing.

    A worker that cannot reach the cache leaves pages to live out their time.
    """

    def __init__(self, cache: Cache, ttl: timedelta) -> None:
        self._cache = cache
        self._ttl = ttl

    async def find(self, *question: object) -> tuple[Place, SearchPage | None]:
        """Return the page that answers a question, None where there is none, and its place.

        ``question`` is all that the answer depends on, who asks included; JSON can write it.
        """
        digest = hashlib.sha256(json.dumps([_FORMAT, *question]).encode()).hexdigest()
        key = f"search:page:{digest}"
        if not self._ttl:
            return Place(key, ""), None
        generation = (await self._cache.get(_GENERATION) or b"").decode()
        kept = await self._cache.get(key)
        if kept is not None:
            try:
                then, page = _KEPT.validate_python(json.loads(kept))
            except (ValidationError, ValueError):
                return Place(key, generation), None
            if then == generation:
                return Place(key, generation), page
        return Place(key, generation), None

    async def keep(self, place: Place, page: SearchPage) -> None:
        """Keep what was found since the place was asked for."""
        if self._ttl:
            kept = _KEPT.dump_python((place.generation, page), mode="json")
            await self._cache.put(place.key, json.dumps(kept).encode(), self._ttl)


async def forget_pages(cache: Cache) -> None:
    """Make every page that is kept out of date, as the index has changed."""
    await cache.put(_GENERATION, uuid4().hex.encode(), _GENERATION_TTL)
