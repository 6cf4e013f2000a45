"""Every channel against a server on this machine that speaks its protocol and its refusals."""

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpcore
import pytest
import trustme

from dataspoke.adapters.notifiers.outgoing import OutgoingHttp
from dataspoke.adapters.notifiers.pagerduty import PagerDutyNotifier
from dataspoke.adapters.notifiers.slack import SlackNotifier
from dataspoke.adapters.notifiers.smtp import SmtpNotifier
from dataspoke.adapters.notifiers.webhook import WebhookNotifier
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.errors import (
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.ports.notifier import Notifier
from dataspoke.quality.model import AlertState, Severity
from dataspoke.quality.notifications.model import Cause, Event, Message, Notification, Target
from dataspoke.settings import (
    PagerDutySettings,
    SlackSettings,
    SmtpSettings,
    WebhookSettings,
)
from tests.support.receivers import (
    MAIL_PASSWORD,
    MAIL_USER,
    ROUTING_KEY,
    WEBHOOK_SECRET,
    HttpReceivers,
    MailServer,
    http_receivers,
    mail_server,
)

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
TEN_SECONDS = timedelta(seconds=10)
OPS, MAIL = Target("ops"), Target("mail", "jane@example.com")
MESSAGE = Message(
    event=Event.TRIGGER,
    alert_id=UUID(int=7),
    severity=Severity.ERROR,
    state=AlertState.OPEN,
    urn="urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)",
    dataset="shop.orders",
    platform="postgres",
    check="row_count",
    summary="shop.orders: row_count was 400, expected 3,800–4,200.",
    since=datetime(2026, 11, 24, 8, tzinfo=UTC),
    at=datetime(2026, 11, 24, 8, 1, tzinfo=UTC),
    value=400,
    expected=4000,
    low=3800,
    high=4200,
    owners=("Jane Doe",),
    downstream=3,
    queries=1200,
    cause=Cause(UUID(int=8), "urn:up", "raw.orders", "raw.orders: nothing came since yesterday."),
    link="http://datahub.test/dataset/urn%3Ali",
)


def notification(**changes: Any) -> Notification:
    return Notification(uuid4(), replace(MESSAGE, **changes))


@pytest.fixture(scope="module")
def receivers() -> Iterator[HttpReceivers]:
    with http_receivers() as made:
        yield made


@pytest.fixture(autouse=True)
def emptied(receivers: HttpReceivers) -> None:
    for kept in (receivers.slack, receivers.pagerduty, receivers.webhooks, receivers.faults):
        kept.clear()


@pytest.fixture
async def http() -> AsyncIterator[OutgoingHttp]:
    async with OutgoingHttp(LOOPBACK, TEN_SECONDS) as made:
        yield made


def slack(http: OutgoingHttp, receivers: HttpReceivers) -> Notifier:
    return SlackNotifier(
        http, SlackSettings(kind="slack", url=f"{receivers.url}/services/T0/B0/secret")
    )


def pagerduty(http: OutgoingHttp, receivers: HttpReceivers, key: str = ROUTING_KEY) -> Notifier:
    return PagerDutyNotifier(
        http,
        PagerDutySettings(kind="pagerduty", routing_key=key, url=f"{receivers.url}/v2/enqueue"),
    )


def webhook(http: OutgoingHttp, receivers: HttpReceivers, secret: str = WEBHOOK_SECRET) -> Notifier:
    settings = WebhookSettings(kind="webhook", url=f"{receivers.url}/hook", secret=secret)
    return WebhookNotifier(http, settings, SystemClock())


OVER_HTTP = pytest.mark.parametrize("channel", [slack, pagerduty, webhook])


async def test_slack_is_sent_blocks_and_a_text(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    await slack(http, receivers).send(notification(), OPS)
    (body,) = receivers.slack
    assert body["text"] == "Alert: row_count of shop.orders"
    shown = json.dumps(body["blocks"], ensure_ascii=False)
    for told in (
        "row_count was 400, expected 3,800–4,200",
        "*Expected:* 3,800 to 4,200",
        "*Since:* 2026-11-24 08:00 UTC",
        "*Owners:* Jane Doe",
        "*Impact:* 3 datasets downstream, 1,200 queries in the last month",
        "*Caused by:* raw.orders: nothing came since yesterday.",
        "<http://datahub.test/dataset/urn%3Ali|Open the dataset in DataHub>",
        "acknowledgeAlert",
    ):
        assert told in shown


async def test_slack_takes_the_longest_texts_and_sees_no_mention_in_them(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    name = "<!channel> & <https://evil.test|x> " + "n" * 4000
    await slack(http, receivers).send(notification(dataset=name, summary=name), OPS)
    (body,) = receivers.slack
    texts = [block["text"] for block in body["blocks"] if "text" in block]
    marked = [text["text"] for text in texts if text["type"] == "mrkdwn"] + [body["text"]]
    assert not any("<!channel" in text or "<https://evil" in text for text in marked)
    assert "&lt;!channel&gt; &amp; " in body["text"]


async def test_pagerduty_follows_an_alert_from_trigger_to_resolve(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    channel = pagerduty(http, receivers)
    seen = []
    for event, state in (
        (Event.TRIGGER, AlertState.OPEN),
        (Event.ACKNOWLEDGE, AlertState.ACKNOWLEDGED),
        (Event.RESOLVE, AlertState.RESOLVED),
    ):
        await channel.send(notification(event=event, state=state), OPS)
        seen += receivers.incidents.values()
    assert seen == ["triggered", "acknowledged", "resolved"]
    assert list(receivers.incidents) == [f"dataspoke:{UUID(int=7)}"]
    trigger = receivers.pagerduty[0]
    assert trigger["payload"]["severity"] == "error"
    assert trigger["payload"]["source"] == MESSAGE.urn
    assert trigger["payload"]["custom_details"]["Owners"] == "Jane Doe"
    assert trigger["links"] == [{"href": MESSAGE.link, "text": "Dataset in DataHub"}]


async def test_a_warning_is_pagerdutys_warning_and_a_long_summary_is_cut(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    await pagerduty(http, receivers).send(
        notification(severity=Severity.WARN, summary="s" * 5000), OPS
    )
    payload = receivers.pagerduty[0]["payload"]
    assert (payload["severity"], len(payload["summary"])) == ("warning", 1024)


async def test_a_webhook_is_signed_and_says_the_same_twice(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    sent = notification(event=Event.RESOLVE, state=AlertState.RESOLVED)
    for _ in range(2):
        await webhook(http, receivers).send(sent, Target("hook"))
    first, second = receivers.webhooks
    assert first == second
    key, body = first
    assert key == str(sent.id)
    assert (body["type"], body["data"]["alertId"]) == ("alert.resolved", str(UUID(int=7)))
    assert body["data"]["impact"] == {"downstreamDatasets": 3, "queriesLastMonth": 1200}
    assert body["data"]["cause"]["dataset"] == "raw.orders"


async def test_a_webhook_with_another_secret_is_refused(
    http: OutgoingHttp, receivers: HttpReceivers
) -> None:
    other = f"whsec_{'A' * 40}"
    with pytest.raises(DependencyRejected, match="webhook hook answered HTTP 401: bad signature"):
        await webhook(http, receivers, other).send(notification(), Target("hook"))


async def test_pagerduty_says_why_it_refuses(http: OutgoingHttp, receivers: HttpReceivers) -> None:
    with pytest.raises(DependencyRejected, match="Length of 'routing_key' is incorrect"):
        await pagerduty(http, receivers, "short").send(notification(), OPS)


@OVER_HTTP
async def test_a_receiver_that_asks_for_time_gets_it(
    http: OutgoingHttp, receivers: HttpReceivers, channel: Any
) -> None:
    receivers.faults.append((429, {"Retry-After": "30"}))
    with pytest.raises(DependencyUnavailable, match="HTTP 429") as caught:
        await channel(http, receivers).send(notification(), OPS)
    assert (caught.value.port, caught.value.retry_after) == ("notifier", timedelta(seconds=30))
    await channel(http, receivers).send(notification(), OPS)


@OVER_HTTP
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, DependencyUnavailable),
        (503, DependencyUnavailable),
        (408, DependencyUnavailable),
        (404, DependencyRejected),
        (410, DependencyRejected),
    ],
)
async def test_what_may_pass_is_told_from_what_will_not(
    http: OutgoingHttp,
    receivers: HttpReceivers,
    channel: Any,
    status: int,
    error: type[Exception],
) -> None:
    receivers.faults.append((status, {}))
    with pytest.raises(error, match=f"HTTP {status}") as caught:
        await channel(http, receivers).send(notification(), OPS)
    assert "secret" not in str(caught.value)


@OVER_HTTP
async def test_no_redirect_is_followed(
    http: OutgoingHttp, receivers: HttpReceivers, channel: Any
) -> None:
    receivers.faults.append((307, {"Location": f"{receivers.url}/hook"}))
    with pytest.raises(DependencyRejected, match="redirects are not followed"):
        await channel(http, receivers).send(notification(), OPS)
    assert not receivers.webhooks


async def test_a_receiver_that_is_silent_or_away_may_come_back(receivers: HttpReceivers) -> None:
    async with OutgoingHttp(LOOPBACK, timedelta(seconds=0.3)) as http:
        writers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, w: writers.append(w), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        settings = SlackSettings(kind="slack", url=f"http://127.0.0.1:{port}/secret")
        with pytest.raises(DependencyTimeout, match=r"Slack \(127.0.0.1\) did not answer in 0.3 s"):
            await SlackNotifier(http, settings).send(notification(), OPS)
        silent.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        with pytest.raises(DependencyUnavailable, match="cannot be reached"):
            await SlackNotifier(http, settings).send(notification(), OPS)


# --- where messages may go ---


class Recording(httpcore.AsyncMockBackend):
    """Notes which addresses are connected to, and answers as a server does."""

    def __init__(self) -> None:
        super().__init__([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
        self.connected.append(host)
        return await super().connect_tcp(host, *args, **kwargs)


class Names:
    """A name server that gives each of its answers once, in order; the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


PRIVATE = [
    "127.0.0.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.5",
    "64:ff9b::a00:5", "2002:a00:5::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_private_addresses_are_refused(address: str) -> None:
    backend = Recording()
    async with OutgoingHttp([], TEN_SECONDS, resolve=Names([address]), backend=backend) as http:
        with pytest.raises(DependencyRejected, match="DATASPOKE_NOTIFICATIONS__ALLOWED_NETWORKS"):
            await http.post("Slack", "https://hooks.example.com/secret", b"{}")
    assert backend.connected == []


async def test_what_was_checked_is_what_is_connected_to() -> None:
    names, backend = Names(["93.184.215.14"], ["10.0.0.5"]), Recording()
    async with OutgoingHttp([], TEN_SECONDS, resolve=names, backend=backend) as http:
        await http.post("Slack", "https://rebinding.example.com/", b"{}")
        assert (backend.connected, names.asked) == (["93.184.215.14"], 1)
        with pytest.raises(DependencyRejected, match=r"is 10\.0\.0\.5"):
            await http.post("Slack", "https://rebinding.example.com/", b"{}")
    assert backend.connected == ["93.184.215.14"]


async def test_of_many_addresses_only_the_permitted_are_used() -> None:
    names, backend = Names(["10.0.0.5", "93.184.215.14"]), Recording()
    async with OutgoingHttp([], TEN_SECONDS, resolve=names, backend=backend) as http:
        await http.post("Slack", "https://two.example.com/", b"{}")
    assert backend.connected == ["93.184.215.14"]


async def test_allowed_networks_may_be_private_and_plain_http_goes_nowhere_else() -> None:
    allowed = [ipaddress.ip_network("10.0.0.0/8")]
    names, backend = Names(["10.0.0.5"], ["93.184.215.14"]), Recording()
    async with OutgoingHttp(allowed, TEN_SECONDS, resolve=names, backend=backend) as http:
        await http.post("Slack", "http://inside.example.com/", b"{}")
        with pytest.raises(DependencyRejected, match="by plain HTTP"):
            await http.post("Slack", "http://outside.example.com/", b"{}")
    assert backend.connected == ["10.0.0.5"]


# --- mail ---


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def mail(server: MailServer, tls: ssl.SSLContext | None = None, **changes: Any) -> Notifier:
    given = {"username": MAIL_USER, "password": MAIL_PASSWORD, "security": "starttls"} | changes
    settings = SmtpSettings(
        kind="smtp", host="localhost", port=server.port, sender="dataspoke@example.com", **given
    )
    return SmtpNotifier(settings, timedelta(seconds=5), tls)


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
async def test_mail_goes_encrypted_after_a_login(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, implicit: bool
) -> None:
    sent = notification()
    async with mail_server(server_tls, implicit=implicit, login=True) as server:
        channel = mail(server, client_tls, security="tls" if implicit else "starttls")
        await channel.send(sent, MAIL)
        await channel.send(sent, MAIL)
    assert server.logins == [MAIL_USER] * 2
    assert server.encrypted == [True] * 2
    assert server.message_ids == [f"<{sent.id}@example.com>"] * 2
    recipients, got = server.mails[0]
    assert recipients == ("jane@example.com",)
    assert got["Subject"] == "Alert: row_count of shop.orders"
    assert got["From"] == "DataSpoke <dataspoke@example.com>"
    assert got["Auto-Submitted"] == "auto-generated"
    plain, html = got.get_body(("plain",)), got.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "Expected: 3,800 to 4,200" in plain.get_content()
    assert 'href="http://datahub.test/dataset/urn%3Ali"' in html.get_content()


async def test_mails_about_one_alert_are_one_conversation(server_tls: ssl.SSLContext) -> None:
    async with mail_server() as server:
        for event in Event:
            channel = mail(server, username="", security="none")
            await channel.send(notification(event=event), MAIL)
    assert len(set(server.message_ids)) == 3
    assert {got["References"] for _, got in server.mails} == {f"<alert.{UUID(int=7)}@example.com>"}


async def test_no_text_becomes_a_header_or_a_tag() -> None:
    evil = "orders\r\nBcc: all@example.com\r\n\r\n<script>alert(1)</script>"
    async with mail_server() as server:
        channel = mail(server, username="", security="none")
        await channel.send(notification(dataset=evil, summary=evil, owners=(evil,)), MAIL)
    ((recipients, got),) = server.mails
    assert recipients == ("jane@example.com",)
    assert "Bcc" not in got
    html = got.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


@pytest.mark.parametrize(
    "address",
    ["jane@example.com\r\nBcc: x@example.com", "jane", "", "a@b.c, d@e.f", "jürgen@example.com"],
)
async def test_what_is_no_address_is_refused_before_anything_is_sent(address: str) -> None:
    async with mail_server() as server:
        with pytest.raises(DependencyRejected, match="is no mail address"):
            await mail(server, username="", security="none").send(
                notification(), Target("mail", address)
            )
    assert not server.mails


@pytest.mark.parametrize(
    ("recipient", "error"), [("nobody", DependencyRejected), ("greylisted", DependencyUnavailable)]
)
async def test_a_refused_recipient_is_told_from_one_to_try_later(
    recipient: str, error: type[Exception]
) -> None:
    async with mail_server() as server:
        channel = mail(server, username="", security="none")
        with pytest.raises(error, match=r"mail server localhost answered [45]5"):
            await channel.send(notification(), Target("mail", f"{recipient}@example.com"))


async def test_a_mailbox_that_is_full_may_be_emptied() -> None:
    async with mail_server() as server:
        channel = mail(server, username="", security="none")
        server.refusal = "452 4.2.2 Mailbox full"
        with pytest.raises(DependencyUnavailable, match=r"452 4\.2\.2 Mailbox full"):
            await channel.send(notification(), MAIL)
        server.refusal = "554 5.7.1 Looks like spam"
        with pytest.raises(DependencyRejected, match="Looks like spam"):
            await channel.send(notification(), MAIL)


async def test_a_wrong_password_is_refused_and_not_repeated(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with mail_server(server_tls, login=True) as server:
        with pytest.raises(DependencyRejected, match="535") as caught:
            await mail(server, client_tls, password="wr0ng-word").send(notification(), MAIL)
    assert "wr0ng" not in str(caught.value)


async def test_without_tls_on_offer_no_password_is_sent() -> None:
    async with mail_server() as server:
        with pytest.raises(DependencyRejected, match="STARTTLS"):
            await mail(server).send(notification(), MAIL)
    assert not server.mails


async def test_a_certificate_of_somebody_else_is_refused(server_tls: ssl.SSLContext) -> None:
    async with mail_server(server_tls, login=True) as server:
        with pytest.raises(DependencyRejected, match="certificate"):
            await mail(server).send(notification(), MAIL)
    assert not server.mails


async def test_a_mail_server_that_is_away_may_come_back() -> None:
    async with mail_server() as server:
        pass
    with pytest.raises(DependencyUnavailable, match="cannot be reached"):
        await mail(server).send(notification(), MAIL)
