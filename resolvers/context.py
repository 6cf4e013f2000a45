"""What every resolver is given: who asks, the services, and the loaders of this request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from dataspoke.ports.hub import Actor
from dataspoke.resolvers.loaders import Loaders
from dataspoke.resolvers.services import Services


@dataclass(slots=True, eq=False)
class Context:
    """The context of one HTTP request, or of one WebSocket with all its operations.

    ``identify`` asks the hub who the caller is and raises Unauthenticated where there is no token
    or the hub does not accept it. ``one_request`` is False for a WebSocket: nothing is remembered
    between its operations, neither the caller nor what was loaded. ``traceparent`` is the W3C trace
    context of a request, which the jobs that it asks for carry on; None where none came.
    """

    services: Services
    identify: Callable[[], Awaitable[Actor]]
    one_request: bool
    identity_check: timedelta
    traceparent: str | None = None
    loaders: Loaders = field(init=False)
    _actor: Actor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.loaders = Loaders(self.services, self.actor, cache=self.one_request)

    async def actor(self) -> Actor:
        """Return the caller; raises Unauthenticated."""
        if not self.one_request:
            return await self.identify()
        if self._actor is None:
            self._actor = await self.identify()
        return self._actor
