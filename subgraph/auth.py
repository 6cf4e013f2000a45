"""Who may ask, and as whom: the gateway by a shared secret, the user by a token of the hub."""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from dataspoke.errors import Unauthenticated
from dataspoke.ports.hub import Actor

GATEWAY_HEADER = "x-dataspoke-gateway"

Identify = Callable[[str], Awaitable[Actor]]

# RFC 6750; nothing else can stand in a header that is passed on to the hub.
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.IGNORECASE)


@dataclass(slots=True)
class Caller:
    """The user behind a request. ``authorization`` is the header's value, None where none came."""

    identify: Identify
    authorization: str | None = field(repr=False)

    async def __call__(self) -> Actor:
        """Return who it is, as the hub says; raises Unauthenticated."""
        if self.authorization is None:
            raise Unauthenticated(
                "There is no token: send Authorization: Bearer TOKEN, with an access token of "
                "DataHub."
            )
        match = _BEARER.fullmatch(self.authorization)
        if match is None:
            raise Unauthenticated(
                "Authorization cannot be used: write it as Bearer TOKEN, with an access token of "
                "DataHub."
            )
        return await self.identify(match.group(1))


def require_gateway(headers: Mapping[str, str], secret: SecretStr) -> None:
    """Raise Unauthenticated unless the request comes from the gateway; anything goes without one.

    The comparison takes as long for a wrong secret as for a right one.
    """
    expected = secret.get_secret_value().encode()
    given = headers.get(GATEWAY_HEADER, "").encode()
    if expected and not hmac.compare_digest(given, expected):
        raise Unauthenticated(
            f"This subgraph answers its gateway alone: ask the gateway, or send {GATEWAY_HEADER} "
            "with the secret that both are set up with."
        )
