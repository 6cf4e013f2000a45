"""The tables, as the migrations leave them (tests hold the two against each other).

Urns sort by code point (collation C), so that pages break where Python would break them.
"""

import hashlib

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

# Tables of a warehouse come in flocks that resemble each other, between which a sparser graph has
# too few ways: with 16 and 100, two questions in sixty found none of their ten best.
_HNSW = {"m": 24, "ef_construction": 200}
# Followed by the table and the model; the migrations do not know of them.
NEAREST_INDEX_PREFIX = "ix_nearest_"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

URN = Text(collation="C")
TERM = Text(collation="C")
TIME = DateTime(timezone=True)


def _document_id() -> Column[int]:
    return Column(
        "document_id",
        BigInteger,
        ForeignKey("documents.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("dedupe_key", Text),
    Column("state", Text, nullable=False, server_default="READY"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    # Rises with every claim; what an older token would change is refused.
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", TIME),
    Column("not_before", TIME, nullable=False, server_default=func.now()),
    Column("woken_at", TIME),
    Column("traceparent", Text),
    Column("error", Text),
    # As in the payload, for those that belong to a run.
    Column("run_id", Uuid),
    Column("added_at", TIME, nullable=False, server_default=func.now()),
    Column("finished_at", TIME),
    CheckConstraint("state IN ('READY', 'RUNNING', 'DONE', 'DEAD')", name="state"),
    CheckConstraint("(state = 'RUNNING') = (lease_until IS NOT NULL)", name="lease"),
    Index("uq_jobs_ready", "dedupe_key", unique=True, postgresql_where=text("state = 'READY'")),
    Index("ix_jobs_ready", "not_before", postgresql_where=text("state = 'READY'")),
    Index("ix_jobs_running", "lease_until", postgresql_where=text("state = 'RUNNING'")),
    Index("ix_jobs_done", "finished_at", postgresql_where=text("state = 'DONE'")),
    Index("ix_jobs_run_id", "run_id", postgresql_where=text("state = 'READY'")),
)

schedule_slots = Table(
    "schedule_slots",
    metadata,
    Column("schedule_id", Text, primary_key=True),
    Column("slot", TIME, primary_key=True),
)

quality_results = Table(
    "quality_results",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("check_key", Text, primary_key=True),
    Column("point_time", TIME, primary_key=True),
    Column("value", Double, nullable=False),
    Column("status", Text, nullable=False),
    Column("detector", Text, nullable=False),
    Column("expected", Double),
    Column("low", Double),
    Column("high", Double),
    Column("score", Double),
    Column("detail", Text),
    Column("dimension", Text),
    Column("judged_at", TIME, nullable=False),
    # A rule's results, on whatever dataset.
    Index(
        "ix_quality_results_rule",
        "check_key",
        "point_time",
        "urn",
        postgresql_where=text("check_key LIKE 'rule:%'"),
    ),
)

quality_verdicts = Table(
    "quality_verdicts",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("status", Text, nullable=False),
    Column("score", Double),
    Column("dimensions", JSONB, nullable=False),
    Column("results", JSONB, nullable=False),
    # Those of the results, as an array of texts.
    Column("check_keys", JSONB, nullable=False),
    # Of the results and dimensions, what every search looks at.
    Column("freshness", Text),
    Column("queries", Double),
    Column("scanned_at", TIME, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("urn", URN, nullable=False),
    Column("check_key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("opened_at", TIME, nullable=False),
    Column("observed_at", TIME, nullable=False),
    Column("value", Double, nullable=False),
    Column("expected", Double),
    Column("low", Double),
    Column("high", Double),
    Column("score", Double),
    Column("message", Text, nullable=False),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", TIME),
    Column("snoozed_until", TIME),
    Column("ended_at", TIME),
    Column("closed_by", Text),
    Column("reopened", Integer, nullable=False),
    Column("reopened_at", TIME),
    # No foreign key: an alert may be forgotten with its dataset, and what it explained stays.
    Column("cause", Uuid),
    Column("feedback", Text),
    Column("version", Integer, nullable=False),
    CheckConstraint(
        "state IN ('OPEN', 'ACKNOWLEDGED', 'SNOOZED', 'RESOLVED', 'CLOSED')", name="state"
    ),
    Index("ix_alerts_opened_at", "opened_at", "id"),
    Index("ix_alerts_urn", "urn", "check_key", "opened_at", "id"),
    Index(
        "ix_alerts_active",
        "urn",
        postgresql_where=text("state IN ('OPEN', 'ACKNOWLEDGED', 'SNOOZED')"),
    ),
)

# One row for each change, with the alert as it was after it. The cursor rises in commit order:
# writers hold a lock from before it is drawn until they commit.
alert_changes = Table(
    "alert_changes",
    metadata,
    Column("cursor", BigInteger, Identity(always=True), primary_key=True),
    Column("alert_id", Uuid, ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    Column("urn", URN, nullable=False),
    Column("alert", JSONB, nullable=False),
    Index("ix_alert_changes_alert_id", "alert_id"),
)

quality_feedback = Table(
    "quality_feedback",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("check_key", Text, primary_key=True),
    Column("point_time", TIME, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", TIME, nullable=False),
)

quality_monitors = Table(
    "quality_monitors",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("settings", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
)

# ``definition`` is the rule as people write it, in the format of that number; the columns before it
# repeat of it what is asked for in SQL.
quality_rules = Table(
    "quality_rules",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("source", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# One row for each change of a dataset's columns: name and native type of each, by name.
dataset_schemas = Table(
    "dataset_schemas",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("seen_at", TIME, primary_key=True),
    Column("columns", JSONB, nullable=False),
)

sla_targets = Table(
    "sla_targets",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("target", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    # Null where it is disabled, or has no deadline any more.
    Column("look_at", TIME),
    Index("ix_sla_targets_look_at", "look_at", "urn"),
)

sla_outlooks = Table(
    "sla_outlooks",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("deadline", TIME, primary_key=True),
    Column("outlook", JSONB, nullable=False),
    Column("looked_at", TIME, nullable=False),
)

health_scores = Table(
    "health_scores",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("urn", URN, nullable=False),
    Column("value", Double, nullable=False),
    Column("findings", JSONB, nullable=False),
    Column("scored_at", TIME, nullable=False),
    Index("ix_health_scores_urn", "urn", "scored_at"),
)

health_latest = Table(
    "health_latest",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("value", Double, nullable=False),
    Column("findings", JSONB, nullable=False),
    Column("scored_at", TIME, nullable=False),
    Index("ix_health_latest_value", "value", "urn"),
)

# A sequence, not a count in the row: a request that was served and made anew must be higher too.
index_version = Sequence("index_request_version", metadata=metadata)

index_requests = Table(
    "index_requests",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("background", Boolean, nullable=False, server_default=false()),
    Index("ix_index_requests_place", "background", "place"),
)

event_cursors = Table(
    "event_cursors",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("moved_at", TIME, nullable=False, server_default=func.now()),
)

rejected_events = Table(
    "rejected_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("rejected_at", TIME, nullable=False, server_default=func.now()),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subjects", ARRAY(Text), nullable=False),
)

# What a search filters by and returns, apart from what it need not read.
documents = Table(
    "documents",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("urn", URN, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("domain", Text),
    Column("tags", ARRAY(Text), nullable=False),
    Column("terms", ARRAY(Text), nullable=False),
    Column("owners", ARRAY(Text), nullable=False),
    Column("consumers", ARRAY(Text), nullable=False),
    Column("related", ARRAY(Text), nullable=False),
    # The sum of its terms' frequencies.
    Column("length", Double, nullable=False),
    # That of its vectors, null where it has none.
    Column("model", Text),
    Index("ix_documents_platform", "platform"),
    Index("ix_documents_domain", "domain"),
    Index("ix_documents_tags", "tags", postgresql_using="gin"),
    Index("ix_documents_terms", "terms", postgresql_using="gin"),
    Index("ix_documents_owners", "owners", postgresql_using="gin"),
    Index("ix_documents_consumers", "consumers", postgresql_using="gin"),
    Index("ix_documents_model", "model"),
)

# ``content`` is JSON, not JSONB: it keeps what JSONB and text refuse, such as a NUL or half an
# emoji at the end of a description that was cut.
document_contents = Table(
    "document_contents",
    metadata,
    _document_id(),
    Column("content", JSON, nullable=False),
)

# A vector has the length that its model gives.
dataset_vectors = Table(
    "dataset_vectors",
    metadata,
    _document_id(),
    Column("model", Text, nullable=False),
    Column("vector", HALFVEC, nullable=False),
)

# ``position`` is that of the column group in its document, from 0.
group_vectors = Table(
    "group_vectors",
    metadata,
    _document_id(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("vector", HALFVEC, nullable=False),
)

# In how many documents a term is; 0 where the last of them went. No document has ever held it more
# often than ``peak_frequency``, or as a larger part of its length than ``peak_share``.
term_counts = Table(
    "term_counts",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("term", TERM, nullable=False, unique=True),
    Column("documents", BigInteger, nullable=False),
    Column("peak_frequency", REAL, nullable=False),
    Column("peak_share", REAL, nullable=False),
)

# Which documents hold a term. It carries the document's length, so that terms are scored from the
# indexes alone. No foreign key: only one writer at a time changes it, with the document.
postings = Table(
    "postings",
    metadata,
    Column("document_id", BigInteger, autoincrement=False),
    Column("term_id", Integer, autoincrement=False),
    Column("frequency", REAL, nullable=False),
    Column("length", REAL, nullable=False),
    PrimaryKeyConstraint("document_id", "term_id", postgresql_include=["frequency", "length"]),
    Index(
        "ix_postings_term_id",
        "term_id",
        postgresql_include=["document_id", "frequency", "length"],
    ),
)

# One row: how many documents there are, and the sum of their lengths.
document_totals = Table(
    "document_totals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("documents", BigInteger, nullable=False),
    Column("length", Double, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# What the hub says of each dataset, as of the index request of that version.
snapshots = Table(
    "snapshots",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("version", BigInteger, nullable=False),
    # The last component of its name, in lower case.
    Column("name", URN, nullable=False),
    Column("domain", URN),
    Column("deprecated", Boolean, nullable=False, server_default=false()),
    # JSON that is only ever read whole.
    Column("content", Text, nullable=False),
    Index("ix_snapshots_name", "name"),
)

# What people call tags, terms, owners, domains and platforms. The name is JSON, which can hold
# characters that text cannot.
labels = Table(
    "labels",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("name", Text, nullable=False),
)

# One row: what was learned of the catalogue's language.
vocabularies = Table(
    "vocabularies",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

quality_runs = Table(
    "quality_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("scope", URN, nullable=False),
    Column("state", Text, nullable=False, server_default="RUNNING"),
    Column("started_at", TIME, nullable=False, server_default=func.now()),
    Column("finished_at", TIME),
    Column("total", Integer),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("requested_by", Text),
    CheckConstraint("kind IN ('SCHEDULED', 'REQUESTED', 'REFIT')", name="kind"),
    CheckConstraint("state IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED')", name="state"),
    CheckConstraint("(state = 'RUNNING') = (finished_at IS NULL)", name="finished"),
    CheckConstraint("done >= 0 AND failed >= 0 AND done + failed <= total", name="counts"),
    # One at a time in each scope, be it scheduled or requested; a refit is another thing.
    Index(
        "uq_quality_runs_scanning",
        "scope",
        unique=True,
        postgresql_where=text("state = 'RUNNING' AND kind <> 'REFIT'"),
    ),
    Index(
        "uq_quality_runs_refitting",
        "scope",
        unique=True,
        postgresql_where=text("state = 'RUNNING' AND kind = 'REFIT'"),
    ),
    Index("ix_quality_runs_started_at", "started_at", "id"),
)

# What is left of a run: a dataset that is done loses its row, so that none is counted twice.
quality_run_datasets = Table(
    "quality_run_datasets",
    metadata,
    Column("run_id", Uuid, ForeignKey("quality_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("urn", URN, primary_key=True),
    Column("failed", Boolean, nullable=False, server_default=text("false")),
)

# What a detector has learned of a series, to go on from. ``version`` is that of the format.
quality_models = Table(
    "quality_models",
    metadata,
    Column("urn", URN, primary_key=True),
    Column("check_key", Text, primary_key=True),
    Column("basis", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("fitted_at", TIME, nullable=False),
    Column("judged_until", TIME, nullable=False),
    Column("failing_since", TIME),
    Index("ix_quality_models_fitted_at", "fitted_at"),
)


# The outbox. What is about one alert for one target leaves in the order of the changes.
notifications = Table(
    "notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("alert_id", Uuid, ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("message", JSONB, nullable=False),
    Column("not_before", TIME),
    Column("state", Text, nullable=False, server_default="PENDING"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("detail", Text),
    Column("planned_at", TIME, nullable=False, server_default=func.now()),
    Column("finished_at", TIME),
    CheckConstraint("state IN ('PENDING', 'DELIVERED', 'DROPPED', 'FAILED')", name="state"),
    UniqueConstraint("alert_id", "channel", "address", "change"),
)

notification_preferences = Table(
    "notification_preferences",
    metadata,
    Column("subject", URN, primary_key=True),
    Column("preferences", JSONB, nullable=False),
    Column("teams", ARRAY(Text), nullable=False),
    Column("saved_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_notification_preferences_teams", "teams", postgresql_using="gin"),
)


def nearest_index(vectors: Table, model: str, dimensions: int) -> Index:
    """Return the HNSW index over the vectors of one model in ``dataset_`` or ``group_vectors``.

    The adapter makes it before the model's first vector is stored: HNSW needs a fixed number of
    dimensions, and models come and go while the service runs. One index for each model also
    means that a search never walks through vectors it cannot compare.
    """
    # Not of ``metadata``: the migrations do not know of it.
    table = Table(vectors.name, MetaData(), Column("model", Text), Column("vector", HALFVEC))
    return Index(
        nearest_index_name(vectors, model),
        cast(table.c.vector, HALFVEC(dimensions)).label("vector"),
        postgresql_using="hnsw",
        postgresql_with=_HNSW,
        postgresql_ops={"vector": "halfvec_ip_ops"},
        postgresql_where=table.c.model == model,
    )


def nearest_index_name(vectors: Table, model: str) -> str:
    """Return the name of that index, which tells it from those of other models."""
    digest = hashlib.sha256(model.encode()).hexdigest()[:16]
    return f"{NEAREST_INDEX_PREFIX}{vectors.name}_{digest}"
