"""POST requests to addresses that are not to be trusted with this network."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpcore

from dataspoke.adapters.retry_after import retry_after_s
from dataspoke.errors import (
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# Returns the addresses of a host.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

PORT = "notifier"
# Longer answers are cut off: only a word of why something was refused is of interest.
_LONGEST_ANSWER = 4096
_SHOWN = 200
# Ways to write an IPv4 address as one of IPv6: translated (RFC 6052) and 6to4.
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    retry_after: timedelta | None


class OutgoingHttp:
    """Posts to public addresses, and to private ones only where their network is allowed.

    The address that is connected to is the one that was checked, so that a name cannot change its
    meaning in between. Plain HTTP goes to allowed networks only. No redirect is followed, and no
    proxy of the environment is used.
    """

    def __init__(
        self,
        allowed: Sequence[Network],
        timeout: timedelta,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._timeout_s = timeout.total_seconds()
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=tls or ssl.create_default_context(),
                # A connection that was kept may have died: whether what is sent on it arrives
                # cannot be known.
                max_keepalive_connections=0,
                network_backend=_Checked(
                    backend or httpcore.AnyIOBackend(),
                    resolve or _resolved,
                    allowed,
                    public=scheme == "https",
                ),
            )
            for scheme in ("https", "http")
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def post(
        self, receiver: str, url: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """Return the answer of any status; ``receiver`` is how messages call the other side.

        Raises DependencyTimeout or DependencyUnavailable where none comes, and DependencyRejected
        where the address may not be connected to. No message repeats the URL, which may be secret.
        """
        parts = urlsplit(url)
        sent = [
            ("Host", parts.netloc.rpartition("@")[2]),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("User-Agent", "DataSpoke"),
            *headers,
        ]
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pools[parts.scheme].stream(
                    "POST", url, headers=[(k.encode(), v.encode()) for k, v in sent], content=body
                ) as response,
            ):
                return Answer(
                    response.status, await _start_of(response), _retry_after(response.headers)
                )
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise DependencyTimeout(
                PORT, f"{receiver} ({parts.hostname}) did not answer in {self._timeout_s:g} s."
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise DependencyUnavailable(
                PORT, f"{receiver} ({parts.hostname}) cannot be reached: {error or 'no answer'}"
            ) from error


def require_taken(receiver: str, answer: Answer) -> None:
    """Return where the answer is a success; raises what stands for it otherwise."""
    if 200 <= answer.status < 300:
        return
    said = " ".join(answer.body.split())[:_SHOWN]
    told = f"{receiver} answered HTTP {answer.status}" + (f": {said}" if said else "")
    if answer.status in (408, 425, 429) or answer.status >= 500:
        raise DependencyUnavailable(PORT, told, answer.retry_after)
    if 300 <= answer.status < 400:
        told += "; redirects are not followed: set the address that it leads to."
    raise DependencyRejected(PORT, told)


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked; TLS still asks for the name of the URL."""

    def __init__(
        self,
        backend: httpcore.AsyncNetworkBackend,
        resolve: Resolve,
        allowed: Sequence[Network],
        *,
        public: bool,
    ) -> None:
        self._backend = backend
        self._resolve = resolve
        self._allowed = allowed
        self._public = public

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
        permitted = [address for address in found if self._is_permitted(address)]
        if not permitted:
            where = ", ".join(map(str, found)) or "no address"
            plain = "" if self._public else " by plain HTTP"
            raise DependencyRejected(
                PORT,
                f"{host} is {where}, where messages may not go{plain}; if that is meant, add its "
                "network to DATASPOKE_NOTIFICATIONS__ALLOWED_NETWORKS.",
            )
        for address in permitted[:-1]:
            try:
                return await self._backend.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(
            str(permitted[-1]), port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    def _is_permitted(self, address: Address) -> bool:
        meant = _meant(address)
        if any(meant in network for network in self._allowed):
            return True
        return self._public and meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


async def _resolved(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise httpcore.ConnectError(f"the name {host} is not known") from error
    # An IPv6 address may carry a zone, as fe80::1%eth0 does.
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


async def _start_of(response: httpcore.Response) -> str:
    read = b""
    async for chunk in response.aiter_stream():
        read += chunk
        if len(read) >= _LONGEST_ANSWER:
            break
    return read[:_LONGEST_ANSWER].decode(errors="replace")


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> timedelta | None:
    asked = next((v.decode("latin-1") for k, v in headers if k.lower() == b"retry-after"), None)
    seconds = retry_after_s(asked)
    return None if seconds is None else timedelta(seconds=min(seconds, 86_400.0))
