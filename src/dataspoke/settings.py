"""All settings, in one model. Entry points build it; everything else is given its part."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

from dataspoke.quality.model import Dimension

# What stands before the @ of an address: user and password.
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")

# What may be scanned at times of its own.
_SCOPES = ("urn:li:domain:", "urn:li:dataPlatform:")


def _require_cron(expression: str) -> str:
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "it never comes"
        raise ValueError(
            f"{expression!r} is no cron ({reason}); write minute, hour, day of the month, month "
            "and day of the week, for example '0 8 * * *'"
        ) from error
    return expression


def _require_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone; use a name of the IANA database, for example Europe/Berlin"
        ) from error
    return name


def _require_scopes(crons: Mapping[str, str]) -> Mapping[str, str]:
    for urn in crons:
        if not urn.startswith(_SCOPES):
            raise ValueError(
                f"{urn!r} is neither a domain nor a platform; write {_SCOPES[0]}… or {_SCOPES[1]}…"
            )
    return crons


Seconds = Annotated[float, Field(gt=0)]
# One mailbox without a display name; nothing in it can start a new line of a header.
EmailAddress = Annotated[str, Field(pattern=r"^[A-Za-z0-9._%+'-]+@[A-Za-z0-9.-]+$", max_length=254)]
ChannelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=50)]
Days = Annotated[float, Field(gt=0)]
Cron = Annotated[str, AfterValidator(_require_cron)]


# As the environment gives it: its names know no small letters, and are read as such.
WarehouseName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSettings(_Section):
    """The DataHub that is judged."""

    url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8080"), description="Address of DataHub's GMS."
    )
    token: SecretStr = Field(
        default=SecretStr(""), description="Access token of DataSpoke's service account."
    )
    timeout_s: Seconds = Field(default=30, description="Longest wait for one answer.")
    max_attempts: int = Field(
        default=4, ge=1, le=10, description="Tries of a call that may succeed when repeated."
    )
    access_cache_s: Seconds = Field(
        default=30, description="How long a caller's identity and rights are remembered."
    )
    write_back: bool = Field(
        default=True, description="Write verdicts to DataHub as assertions and properties."
    )


class EventSettings(_Section):
    """How changes of metadata are heard of. See docs/events.md."""

    kind: Literal["poll", "kafka"] = Field(
        default="poll", description="DataHub's events API, or the Kafka that it writes to."
    )
    bootstrap_servers: str = Field(
        default="", description="Brokers of that Kafka: host:port, separated by commas."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to speak to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="How to log in with SASL."
    )
    sasl_username: str = Field(default="", description="User to log in as with SASL.")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="The user's password.")
    ssl_ca: str = Field(
        default="",
        description="File of the authorities that vouch for the brokers; the system's if empty.",
    )
    registry_url: SecretStr = Field(
        default=SecretStr(""),
        description="Schema registry of the topics; that in DataHub's GMS if empty.",
    )
    versioned_topic: str = Field(
        default="MetadataChangeLog_Versioned_v1", description="Topic of changes of aspects."
    )
    timeseries_topic: str = Field(
        default="MetadataChangeLog_Timeseries_v1",
        description="Topic of profiles, usage and operations.",
    )


class StoreSettings(_Section):
    """PostgreSQL with the pgvector extension."""

    url: SecretStr = Field(
        default=SecretStr("postgresql+asyncpg://dataspoke:dataspoke@127.0.0.1:5432/dataspoke"),
        description="SQLAlchemy address, with the asyncpg driver.",
    )
    pool_size: int = Field(default=10, ge=1, description="Connections kept open by a process.")
    statement_timeout_s: Seconds = Field(default=30, description="Longest run of one statement.")


class RedisSettings(_Section):
    """Redis or Valkey: wake-ups of workers and of subscriptions."""

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), description="Address of the server."
    )


class VectorsSettings(_Section):
    """Where search keeps its index: in PostgreSQL by pgvector, or in a Weaviate."""

    url: HttpUrl | None = Field(
        default=None, description="Address of Weaviate; empty to search in PostgreSQL."
    )
    grpc_host: str = Field(
        default="", description="Where its gRPC listens; the host of the address if empty."
    )
    grpc_port: int = Field(default=50051, ge=1, le=65535, description="Port of its gRPC.")
    api_key: SecretStr = Field(
        default=SecretStr(""), description="Key to log in with; empty for no login."
    )
    collection: str = Field(
        default="DataSpoke",
        pattern=r"^[A-Z][A-Za-z0-9]*$",
        max_length=100,
        description="Beginning of its collections' names; no other product's may begin so.",
    )
    tenant: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="Tenant to keep documents under, in collections with multi-tenancy; empty for "
        "none.",
    )
    timeout_s: Seconds = Field(default=10, description="Longest wait for one answer.")

    @field_validator("url", mode="before")
    @classmethod
    def _empty_is_none(cls, url: object) -> object:
        return None if url == "" else url


class EmbedderSettings(_Section):
    """What turns text into vectors."""

    kind: Literal["local", "openai", "none"] = Field(
        default="local",
        description="The local ONNX model, an OpenAI-compatible endpoint, or words only.",
    )
    model_dir: str = Field(
        default="", description="Folder of the local model; empty for the one `make setup` fills."
    )
    url: HttpUrl | None = Field(default=None, description="Base address of the endpoint.")
    model: str = Field(default="text-embedding-3-small", description="Model of the endpoint.")
    api_key: SecretStr = Field(default=SecretStr(""), description="Key of the endpoint.")
    dimensions: int = Field(
        default=384, ge=8, le=2000, description="Length of a vector; 384 for the local model."
    )


class SearchSettings(_Section):
    """Knowledge Base: how datasets are found."""

    trust_weight: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="Share of a hit's score that falls to trust: 0 ranks by relevance alone.",
    )
    cache_s: float = Field(
        default=10,
        ge=0,
        description="How long an answer is kept for the same caller; 0 for never. A change of "
        "the index ends it at once.",
    )


class WorkerSettings(_Section):
    """The background process."""

    concurrency: int = Field(default=4, ge=1, description="Jobs that one worker runs at a time.")
    processes: int = Field(default=2, ge=1, description="Processes for detectors and models.")
    lease_s: Seconds = Field(default=30, description="Time without a sign of life to lose a job.")
    max_attempts: int = Field(default=4, ge=1, description="Tries before a job is a dead letter.")
    job_timeout_s: Seconds = Field(default=300, description="Longest run of one job.")
    poll_wait_s: Seconds = Field(default=5, description="How long one poll waits for events.")


class IndexSettings(_Section):
    """Snapshots of datasets and the search index."""

    backfill_per_s: float | None = Field(
        default=None,
        gt=0,
        description="Datasets that a back-fill makes documents of in a second; empty for any.",
    )


class QualitySettings(_Section):
    """Quality Control."""

    alerts_per_fortnight: float = Field(
        default=1, gt=0, le=14, description="False alarms that a dataset may raise in two weeks."
    )
    grouping_wait_s: float = Field(
        default=30,
        ge=0,
        description="Time between an alert and its announcement, to find the cause upstream.",
    )
    weights: dict[Dimension, Annotated[float, Field(ge=0)]] = Field(
        default=dict.fromkeys(Dimension, 1.0),
        description="Weight of each dimension in the quality score, as JSON; 1 for those left out.",
    )


class ScheduleSettings(_Section):
    """When what nobody asks for is done."""

    time_zone: Annotated[str, AfterValidator(_require_zone)] = Field(
        default="UTC", description="Time zone of the crons below, by its IANA name."
    )
    scan: Cron = Field(default="0 8 * * *", description="Cron of full scans and health audits.")
    scan_of: Annotated[Mapping[str, Cron], AfterValidator(_require_scopes)] = Field(
        default={},
        description="Crons of domains and platforms, as JSON from urn to cron. What is in one of "
        "them is scanned then, and not with the others; a domain goes before a platform.",
    )
    refit: Cron = Field(default="0 3 * * 0", description="Cron of the refit of all models.")
    retention: Cron = Field(
        default="0 2 * * *", description="Cron of the deletion of what was kept long enough."
    )


class RetentionSettings(_Section):
    """How long what was computed is kept. What is still needed to judge is kept in any case."""

    results_days: Days = Field(default=400, description="Results of checks, by their point's time.")
    alerts_days: Days = Field(default=400, description="Alerts, from their end on.")
    health_days: Days = Field(default=400, description="Health scores but the latest.")
    runs_days: Days = Field(default=90, description="Runs, from their end on.")
    slots_days: Days = Field(default=30, description="Which times of the schedules were served.")
    rejected_events_days: Days = Field(default=30, description="Events that could not be taken.")
    jobs_days: Days = Field(default=7, description="Background jobs that are done.")


class WarehouseSettings(_Section):
    """A database that rules may ask, and which datasets lie in it.

    ``url`` is a SQLAlchemy address, or refers to one: ``env:NAME`` or ``file:PATH``.
    """

    url: SecretStr = Field(
        description="SQLAlchemy address of PostgreSQL, DuckDB or SQLite, or where it is written: "
        "env:NAME or file:PATH. Let its user only read."
    )
    platform: str = Field(
        default="", description="Platform of the datasets in it, as postgres; empty for none."
    )
    names: list[str] = Field(
        default=["*"], description="Patterns of their names, as a JSON list; * and ? stand for any."
    )
    instance: str = Field(
        default="", description="Platform instance that begins their names in DataHub."
    )
    statement_timeout_s: Seconds = Field(default=30, description="Longest run of one query.")
    row_cap: int = Field(default=1000, ge=1, description="Most rows that are read of an answer.")


class VerifierSettings(_Section):
    """The check of SQL and of datasets before they are used."""

    personal_words: list[str] = Field(
        default=["gdpr", "hipaa", "personal", "phi", "pii", "sensitive"],
        description="Words that mark personal data in the name of a tag or term, as a JSON list.",
    )
    output_name: str = Field(
        default="",
        description="Regular expression that the last part of a new dataset's name must match; "
        "empty for what its neighbours have in common.",
    )
    cache_s: Seconds = Field(default=60, description="How long an answer is kept and given again.")
    max_characters: int = Field(default=100_000, ge=1, description="Longest SQL that is checked.")

    @field_validator("output_name")
    @classmethod
    def _is_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"must be a regular expression: {error}") from None
        return pattern


class SubgraphSettings(_Section):
    """The GraphQL service."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=4001, ge=0, le=65535, description="Port to listen on.")
    max_representations: int = Field(
        default=1000, ge=1, description="Entities that one request may ask for."
    )
    max_depth: int = Field(default=10, ge=1, description="Deepest nesting of a query.")
    max_aliases: int = Field(default=15, ge=1, description="Most aliases in a query.")
    max_tokens: int = Field(default=1000, ge=1, description="Most tokens in a query.")
    max_cost: int = Field(
        default=50_000, ge=1, description="Most values that the answer to a query may hold."
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="Largest request body.")
    timeout_s: Seconds = Field(default=30, description="Longest run of one query.")
    max_subscriptions: int = Field(
        default=20, ge=1, description="Open subscriptions of one connection."
    )
    allowed_origins: list[str] = Field(
        default=[], description="Origins that may open WebSockets from a browser; none if empty."
    )
    gateway_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Header x-dataspoke-gateway that the gateway must send; empty for none.",
    )


class McpSettings(_Section):
    """The server for agents, by HTTP (docs/mcp.md)."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=4002, ge=0, le=65535, description="Port to listen on.")
    gateway_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:4000/graphql"),
        description="GraphQL address of the gateway.",
    )
    allowed_hosts: list[str] = Field(
        default=["127.0.0.1:*", "localhost:*", "[::1]:*"],
        description="Names by which agents reach it (header Host), as a JSON list; :* stands for "
        "any port.",
    )


class _ChannelSettings(_Section):
    """What every channel has. Filters hold urns; an empty one lets any alert pass."""

    broadcast: bool = Field(
        default=True,
        description="Send every alert that passes the filters, not only what people ask for.",
    )
    severity_at_least: Literal["WARN", "ERROR"] = Field(
        default="WARN", description="Mildest alerts to send."
    )
    platforms: list[str] = Field(default=[], description="Platforms whose alerts are sent.")
    domains: list[str] = Field(default=[], description="Domains whose alerts are sent.")
    tags: list[str] = Field(default=[], description="Tags whose alerts are sent.")
    owners: list[str] = Field(default=[], description="Users and groups whose alerts are sent.")


class SlackSettings(_ChannelSettings):
    """An incoming webhook of Slack."""

    kind: Literal["slack"]
    url: SecretStr = Field(description="Address of the incoming webhook.")

    _is_address = field_validator("url")(lambda url: _require_address(url))


class SmtpSettings(_ChannelSettings):
    """A mail server."""

    kind: Literal["smtp"]
    host: str = Field(description="Name of the server.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="TLS after the greeting (587), from the first byte on (465), or never.",
    )
    username: str = Field(default="", description="User to log in as; empty for no login.")
    password: SecretStr = Field(default=SecretStr(""), description="The user's password.")
    sender: EmailAddress = Field(description="Address that mail comes from.")
    to: list[EmailAddress] = Field(default=[], description="Who gets what is broadcast.")
    recipient_domains: list[str] = Field(
        default=[],
        description="Domains to which people may have mail sent; the sender's if empty.",
    )


class PagerDutySettings(_ChannelSettings):
    """A service of PagerDuty, by its Events API v2."""

    kind: Literal["pagerduty"]
    routing_key: SecretStr = Field(description="Integration key of the service.")
    url: HttpUrl = Field(
        default=HttpUrl("https://events.pagerduty.com/v2/enqueue"),
        description="Address for events; that of the European region differs.",
    )


class WebhookSettings(_ChannelSettings):
    """Any endpoint that takes JSON, signed as Standard Webhooks describes."""

    kind: Literal["webhook"]
    url: SecretStr = Field(description="Address of the endpoint.")
    secret: SecretStr = Field(
        description="Key of the signature: whsec_ and 24 to 64 bytes in Base64."
    )

    _is_address = field_validator("url")(lambda url: _require_address(url))

    @field_validator("secret")
    @classmethod
    def _is_key(cls, secret: SecretStr) -> SecretStr:
        # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        try:
            text = secret.get_secret_value().removeprefix("whsec_")
            size = len(base64.b64decode(text, validate=True))
        except ValueError:
            size = 0
        if not 24 <= size <= 64:
            raise ValueError("must be whsec_ and 24 to 64 bytes in Base64")
        return secret


ChannelSettings = Annotated[
    SlackSettings | SmtpSettings | PagerDutySettings | WebhookSettings,
    Field(discriminator="kind"),
]


class NotificationSettings(_Section):
    """Who is told about alerts, and where."""

    channels: dict[ChannelName, ChannelSettings] = Field(
        default={},
        description="Channels by name: `DATASPOKE_NOTIFICATIONS__CHANNELS__OPS__KIND` sets the "
        "kind of `ops`. See docs/notifications.md.",
    )
    default_channel: str = Field(
        default="",
        description="Channel by which owners who said nothing hear of their datasets; none if "
        "empty.",
    )
    datahub_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:9002"),
        description="Address of DataHub's own pages, for links.",
    )
    allowed_networks: list[IPvAnyNetwork] = Field(
        default=[],
        description="Networks that messages may go to over HTTP although they are private, such "
        "as 10.1.0.0/16.",
    )
    timeout_s: Seconds = Field(default=10, description="Longest wait for one receiver.")


class Settings(BaseSettings):
    """Read from the environment: ``DATASPOKE_HUB__URL`` sets ``hub.url``."""

    model_config = SettingsConfigDict(
        env_prefix="DATASPOKE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="Production refuses the defaults of development."
    )
    hub: HubSettings = HubSettings()
    events: EventSettings = EventSettings()
    store: StoreSettings = StoreSettings()
    redis: RedisSettings = RedisSettings()
    vectors: VectorsSettings = VectorsSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    search: SearchSettings = SearchSettings()
    worker: WorkerSettings = WorkerSettings()
    quality: QualitySettings = QualitySettings()
    index: IndexSettings = IndexSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    retention: RetentionSettings = RetentionSettings()
    warehouses: dict[WarehouseName, WarehouseSettings] = Field(
        default={}, description="Databases that rules may ask, by a name of your choice."
    )
    verifier: VerifierSettings = VerifierSettings()
    subgraph: SubgraphSettings = SubgraphSettings()
    mcp: McpSettings = McpSettings()
    notifications: NotificationSettings = NotificationSettings()


def problems(settings: Settings) -> list[str]:
    """Return why these settings are not fit for production; empty in development.

    Each line names the variable and says what to do.
    """
    if settings.environment == "development":
        return []
    found = []
    if not settings.hub.token.get_secret_value():
        found.append("DATASPOKE_HUB__TOKEN is empty: give the token of DataSpoke's account.")
    if settings.store.url == StoreSettings().url:
        found.append("DATASPOKE_STORE__URL is the default of development: give your own.")
    if settings.redis.url == RedisSettings().url:
        found.append("DATASPOKE_REDIS__URL is the default of development: give your own.")
    if not settings.subgraph.gateway_secret.get_secret_value():
        found.append("DATASPOKE_SUBGRAPH__GATEWAY_SECRET is empty: agree on one with the gateway.")
    if settings.vectors.url is not None and not settings.vectors.api_key.get_secret_value():
        found.append("DATASPOKE_VECTORS__API_KEY is empty: let Weaviate ask for one, and give it.")
    told = settings.notifications
    if told.channels and told.datahub_url == NotificationSettings().datahub_url:
        found.append(
            "DATASPOKE_NOTIFICATIONS__DATAHUB_URL is the default of development: links in "
            "messages lead there; give the address of DataHub's pages."
        )
    return found


def variable_of(path: Iterable[str | int]) -> str:
    """Return the environment variable of a setting: ``("hub", "url")`` is DATASPOKE_HUB__URL."""
    return "DATASPOKE_" + "__".join(str(name).upper() for name in path)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its environment variable, meaning, default and value, secrets masked."""

    variable: str
    meaning: str
    default: str
    value: str


def described(settings: Settings) -> list[Setting]:
    """Return every setting with its value, in the order of the model."""
    return list(_described(settings, "DATASPOKE_"))


def settings_page() -> str:
    """Return the Markdown page of all settings (docs/settings.md)."""
    lines = [
        "# Settings",
        "",
        "Each is an environment variable. `dataspoke config check` prints what is in force.",
    ]
    section = None
    # One connection stands for all: they have the same settings.
    example = {"<name>": WarehouseSettings(url=SecretStr(""))}
    for setting in described(Settings.model_construct(warehouses=example)):
        head = setting.variable.removeprefix("DATASPOKE_").partition("__")[0].lower()
        if "__" not in setting.variable:
            head = "general"
        if head != section:
            section = head
            lines += [
                "",
                f"## {head}",
                "",
                "| variable | default | meaning |",
                "| --- | --- | --- |",
            ]
        lines.append(f"| `{setting.variable}` | `{setting.default}` | {setting.meaning} |")
    return "\n".join(lines) + "\n"


def _described(section: BaseModel, prefix: str) -> Iterator[Setting]:
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _described(value, f"{prefix}{name.upper()}__")
        elif isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values()):
            for key, entry in value.items():
                yield from _described(entry, f"{prefix}{name.upper()}__{key.upper()}__")
        else:
            yield Setting(
                f"{prefix}{name.upper()}",
                info.description or "",
                _shown(info.default),
                _shown(value),
            )


def _require_address(url: SecretStr) -> SecretStr:
    # The message must not repeat it, as whoever knows it may post.
    try:
        return SecretStr(str(HttpUrl(url.get_secret_value())))
    except ValidationError:
        raise ValueError("must be an address that begins with https://") from None


def _shown(value: object) -> str:
    if value is PydanticUndefined:
        return "(required)"
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        if text.startswith(("http://", "https://")):
            return "***"  # its path is the secret
        # What follows a question mark may be a password too.
        address, mark, _ = text.partition("?")
        masked = _PASSWORD.sub(r"\1***@", address) + (mark and "?***")
        return masked if "://" in address else "***" if text else "(empty)"
    return "(empty)" if value in ("", None, [], {}) else str(value)
