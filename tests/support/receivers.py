"""Servers that take notifications as the real ones do: Slack, PagerDuty, a webhook, mail.

They refuse what the real ones are documented to refuse, and keep what they took.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support.serving import serving

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
WEBHOOK_KEY = bytes(range(32))
WEBHOOK_SECRET = f"whsec_{base64.b64encode(WEBHOOK_KEY).decode()}"
MAIL_USER, MAIL_PASSWORD = "dataspoke", "s3cret-word"


@dataclass(slots=True)
class HttpReceivers:
    """Slack at ``/services/…``, PagerDuty at ``/v2/enqueue`` and a webhook at ``/hook``.

    What is in ``faults`` is answered first, once each, in place of taking the request.
    ``webhooks`` holds what arrived by idempotency key, as often as it arrived.
    """

    url: str = ""
    slack: list[Mapping[str, Any]] = field(default_factory=list)
    pagerduty: list[Mapping[str, Any]] = field(default_factory=list)
    webhooks: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    faults: deque[tuple[int, Mapping[str, str]]] = field(default_factory=deque)
    hang: bool = False

    @property
    def incidents(self) -> Mapping[str, str]:
        """The state of each incident that PagerDuty would show, by dedup_key."""
        states: dict[str, str] = {}
        for event in self.pagerduty:
            key, action = event["dedup_key"], event["event_action"]
            if action == "trigger":
                states.setdefault(key, "triggered")
            elif key in states:
                states[key] = f"{action}d"
        return states

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/services/T0/B0/secret", self._slack, methods=["POST"]),
                Route("/v2/enqueue", self._pagerduty, methods=["POST"]),
                Route("/hook", self._webhook, methods=["POST"]),
            ]
        )

    async def _fault(self) -> Response | None:
        if self.hang:
            await asyncio.sleep(60)
        if not self.faults:
            return None
        status, headers = self.faults.popleft()
        return PlainTextResponse("as told", status, headers=dict(headers))

    async def _slack(self, request: Request) -> Response:
        if fault := await self._fault():
            return fault
        refusal = _refused_by_slack(request.headers.get("content-type"), await request.body())
        if refusal:
            return PlainTextResponse(refusal, 400)
        self.slack.append(await request.json())
        return PlainTextResponse("ok")

    async def _pagerduty(self, request: Request) -> Response:
        if fault := await self._fault():
            return fault
        event = await request.json()
        wrong = list(_wrong_for_pagerduty(event))
        if wrong:
            return JSONResponse(
                {"status": "invalid event", "message": "Event object is invalid", "errors": wrong},
                400,
            )
        self.pagerduty.append(event)
        taken = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return JSONResponse(taken, 202)

    async def _webhook(self, request: Request) -> Response:
        if fault := await self._fault():
            return fault
        body, headers = await request.body(), request.headers
        if not _is_signed(headers, body):
            return PlainTextResponse("bad signature", 401)
        self.webhooks.append((headers["idempotency-key"], json.loads(body)))
        return Response(status_code=204)


@contextmanager
def http_receivers() -> Iterator[HttpReceivers]:
    """Yield the receivers, served on a free port of the loopback."""
    receivers = HttpReceivers()
    with serving(receivers.app()) as served:
        receivers.url = served.url
        yield receivers


def _refused_by_slack(content_type: str | None, body: bytes) -> str | None:
    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    if content_type != "application/json" or not isinstance(payload, dict):
        return "invalid_payload"
    if not payload.get("text"):
        return "no_text"
    blocks = payload.get("blocks", [])
    limits = {"header": ("plain_text", 150), "section": ("mrkdwn", 3000)}
    if len(blocks) > 50:
        return "invalid_blocks"
    for block in blocks:
        if block["type"] == "context":
            if not 1 <= len(block["elements"]) <= 10:
                return "invalid_blocks"
            continue
        kind, longest = limits.get(block["type"], ("", 0))
        text = block.get("text", {})
        if text.get("type") != kind or not 1 <= len(text.get("text", "")) <= longest:
            return "invalid_blocks"
    return None


def _wrong_for_pagerduty(event: Mapping[str, Any]) -> Iterator[str]:
    # https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
    if len(event.get("routing_key", "")) != 32:
        yield "Length of 'routing_key' is incorrect (should be 32 characters)"
    action = event.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        yield "'event_action' is invalid"
    if not 1 <= len(event.get("dedup_key", "")) <= 255:
        yield "'dedup_key' is missing or too long"
    if action == "trigger":
        payload = event.get("payload", {})
        if not 1 <= len(payload.get("summary", "")) <= 1024:
            yield "'payload.summary' is missing or too long"
        if not payload.get("source"):
            yield "'payload.source' is missing or blank"
        if payload.get("severity") not in ("critical", "error", "warning", "info"):
            yield "'payload.severity' is invalid"


def _is_signed(headers: Mapping[str, str], body: bytes) -> bool:
    # As a receiver verifies it by the specification of Standard Webhooks.
    try:
        message_id, sent_at = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split(" ")
    except KeyError:
        return False
    if abs(time.time() - int(sent_at)) > 300 or headers.get("idempotency-key") != message_id:
        return False
    signed = f"{message_id}.{sent_at}.".encode() + body
    expected = base64.b64encode(hmac.new(WEBHOOK_KEY, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in signatures)


@dataclass(slots=True)
class MailServer:
    """``mails`` holds what was taken: the envelope's recipients and the message.

    While ``refusal`` is set, it is what the server answers to the text of a mail.
    """

    port: int = 0
    mails: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def message_ids(self) -> list[str]:
        return [mail["Message-ID"] for _, mail in self.mails]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((tuple(envelope.rcpt_tos), mail))
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 Taken"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 No such mailbox"
        if address.startswith("greylisted@"):
            return "451 4.7.1 Come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = (data.login, data.password) == (MAIL_USER.encode(), MAIL_PASSWORD.encode())
        if known:
            self.logins.append(data.login.decode())
        return AuthResult(success=known, handled=known)


@asynccontextmanager
async def mail_server(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, login: bool = False
) -> AsyncIterator[MailServer]:
    """Yield an SMTP server on a free port of the loopback.

    With ``tls`` it takes no mail before STARTTLS, or speaks TLS from the first byte on where
    ``implicit``; with ``login`` none before AUTH.
    """
    server = MailServer()

    def connected() -> SMTP:
        with warnings.catch_warnings():
            # It does not know that TLS may be there before its first byte.
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            return SMTP(
                server,
                hostname="mail.test",
                tls_context=None if implicit else tls,
                require_starttls=tls is not None and not implicit,
                auth_required=login,
                auth_require_tls=not implicit,
                authenticator=server.authenticate if login else None,
            )

    listening = await asyncio.get_running_loop().create_server(
        connected, "127.0.0.1", 0, ssl=tls if implicit else None
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
