"""A message in the words and forms of each channel. Pure."""

import html
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dataspoke.quality.model import AlertState, Severity
from dataspoke.quality.notifications.model import Event, Message, Notification

# Slack: https://docs.slack.dev/reference/block-kit/blocks
_SLACK_HEADER = 150
_SLACK_SECTION = 3000
# PagerDuty: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
_PAGERDUTY_SUMMARY = 1024
_PAGERDUTY_SEVERITY = {Severity.ERROR: "error", Severity.WARN: "warning"}
_WEBHOOK_TYPE = {
    Event.TRIGGER: "alert.triggered",
    Event.ACKNOWLEDGE: "alert.acknowledged",
    Event.RESOLVE: "alert.resolved",
}


def title(message: Message) -> str:
    """Return one line: what happened to which check of which dataset."""
    if message.test:
        return "Test of DataSpoke's notifications"
    return f"{_happened(message)}: {message.check} of {message.dataset}"


def facts(message: Message) -> Iterator[tuple[str, str]]:
    """Yield what is known beside the summary, as names and values for people."""
    if message.value is not None:
        yield "Seen", _number(message.value)
    if message.low is not None and message.high is not None:
        yield "Expected", f"{_number(message.low)} to {_number(message.high)}"
    elif message.expected is not None:
        yield "Expected", _number(message.expected)
    yield "Since", _moment(message.since)
    yield "Severity", message.severity.value
    yield "Platform", message.platform
    if message.owners:
        yield "Owners", ", ".join(message.owners)
    impact = []
    if message.downstream is not None:
        impact.append(_count(message.downstream, "dataset") + " downstream")
    if message.queries is not None:
        impact.append(_count(message.queries, "query", "queries") + " in the last month")
    if impact:
        yield "Impact", ", ".join(impact)
    if message.cause is not None:
        yield "Caused by", message.cause.summary
    if message.by is not None:
        yield "By", message.by.rpartition(":")[2]
    if message.snoozed_until is not None:
        yield "Snoozed until", _moment(message.snoozed_until)


def how_to_acknowledge(message: Message) -> str | None:
    """Return what to do to take the alert up; None where it is not open, or a test."""
    if message.event is not Event.TRIGGER or message.test:
        return None
    return (
        f'Take it up in DataSpoke\'s API: mutation {{ acknowledgeAlert(id: "{message.alert_id}") }}'
    )


def plain(message: Message) -> str:
    """Return the message as text of several lines."""
    lines = [message.summary, ""]
    lines += [f"{name}: {value}" for name, value in facts(message)]
    if message.link is not None:
        lines += ["", f"Dataset in DataHub: {message.link}"]
    acknowledge = how_to_acknowledge(message)
    if acknowledge is not None:
        lines += ["", acknowledge]
    return "\n".join(lines) + "\n"


def as_html(message: Message) -> str:
    """Return the message as an HTML page for mail; everything in it is escaped."""
    rows = "".join(
        f'<tr><td style="padding-right:1em;color:#666">{html.escape(name)}</td>'
        f"<td>{html.escape(value)}</td></tr>"
        for name, value in facts(message)
    )
    parts = [f"<h3>{html.escape(title(message))}</h3>", f"<p>{html.escape(message.summary)}</p>"]
    parts.append(f"<table>{rows}</table>")
    if message.link is not None:
        parts.append(
            f'<p><a href="{html.escape(message.link)}">Open the dataset in DataHub</a></p>'
        )
    acknowledge = how_to_acknowledge(message)
    if acknowledge is not None:
        parts.append(f"<p><small>{html.escape(acknowledge)}</small></p>")
    return f"<!DOCTYPE html><html><body>{''.join(parts)}</body></html>"


def slack(message: Message) -> Mapping[str, Any]:
    """Return the body for an incoming webhook: blocks, and a text where they are not shown."""
    head = title(message)
    fields = "\n".join(f"*{name}:* {_mrkdwn(value)}" for name, value in facts(message))
    blocks: list[Mapping[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(head, _SLACK_HEADER)}},
        _slack_section(_mrkdwn(message.summary)),
        _slack_section(fields),
    ]
    if message.link is not None:
        blocks.append(_slack_section(f"<{_mrkdwn(message.link)}|Open the dataset in DataHub>"))
    acknowledge = how_to_acknowledge(message)
    if acknowledge is not None:
        text = {"type": "mrkdwn", "text": _mrkdwn(acknowledge)}
        blocks.append({"type": "context", "elements": [text]})
    return {"text": _mrkdwn(head), "blocks": blocks}


def pagerduty(notification: Notification, routing_key: str) -> Mapping[str, Any]:
    """Return the event. All events of one alert have its id as their ``dedup_key``."""
    message = notification.message
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": message.event.value,
        "dedup_key": f"dataspoke:{message.alert_id}",
    }
    if message.event is not Event.TRIGGER:
        return event
    event["client"] = "DataSpoke"
    event["payload"] = {
        "summary": _cut(f"{title(message)}. {message.summary}", _PAGERDUTY_SUMMARY),
        "source": message.urn,
        "severity": "info" if message.test else _PAGERDUTY_SEVERITY[message.severity],
        "timestamp": message.since.isoformat(),
        "component": message.dataset,
        "group": message.platform,
        "class": message.check,
        "custom_details": dict(facts(message)),
    }
    if message.link is not None:
        event["client_url"] = message.link
        event["links"] = [{"href": message.link, "text": "Dataset in DataHub"}]
    return event


def webhook(notification: Notification) -> bytes:
    """Return the JSON body for a generic webhook (docs/notifications.md); always the same bytes."""
    message = notification.message
    cause = message.cause
    data = {
        "notificationId": str(notification.id),
        "alertId": str(message.alert_id),
        "state": message.state.value,
        "severity": message.severity.value,
        "title": title(message),
        "summary": message.summary,
        "check": message.check,
        "dataset": {
            "urn": message.urn,
            "name": message.dataset,
            "platform": message.platform,
            "url": message.link,
            "owners": list(message.owners),
        },
        "value": message.value,
        "expected": message.expected,
        "low": message.low,
        "high": message.high,
        "since": message.since.isoformat(),
        "by": message.by,
        "snoozedUntil": message.snoozed_until.isoformat() if message.snoozed_until else None,
        "impact": {"downstreamDatasets": message.downstream, "queriesLastMonth": message.queries},
        "cause": None
        if cause is None
        else {
            "alertId": str(cause.alert_id),
            "urn": cause.urn,
            "dataset": cause.dataset,
            "summary": cause.summary,
        },
        "test": message.test,
    }
    body = {
        "type": _WEBHOOK_TYPE[message.event],
        "timestamp": message.at.isoformat(),
        "data": data,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _happened(message: Message) -> str:
    if message.event is Event.TRIGGER:
        return "Alert"
    return {
        AlertState.ACKNOWLEDGED: "Acknowledged",
        AlertState.SNOOZED: "Snoozed",
        AlertState.CLOSED: "Closed",
    }.get(message.state, "Resolved")


def _slack_section(text: str) -> Mapping[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SLACK_SECTION)}}


def _mrkdwn(text: str) -> str:
    # What Slack asks to be escaped, so that no text becomes a mention or a link.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
