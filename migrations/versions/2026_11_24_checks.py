"""Checks beside metrics, and the whole life of an alert."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_24_checks"
down_revision = "2026_11_24_vectors"
branch_labels = None
depends_on = None

_NEW = "state IN ('OPEN', 'ACKNOWLEDGED', 'SNOOZED', 'RESOLVED', 'CLOSED')"
_OLD = "state IN ('OPEN', 'ACKNOWLEDGED', 'RESOLVED')"
_ACTIVE = "state IN ('OPEN', 'ACKNOWLEDGED', 'SNOOZED')"
_TIME = sa.DateTime(timezone=True)
_URN = sa.Text(collation="C")


def upgrade() -> None:
    op.alter_column("quality_results", "metric", new_column_name="check_key")
    op.add_column("quality_results", sa.Column("detail", sa.Text()))
    op.add_column("quality_results", sa.Column("dimension", sa.Text()))
    # The next scan makes them anew.
    op.execute("DELETE FROM quality_verdicts")
    op.add_column("quality_verdicts", sa.Column("dimensions", JSONB(), nullable=False))
    op.add_column("quality_verdicts", sa.Column("check_keys", JSONB(), nullable=False))

    op.alter_column("alerts", "metric", new_column_name="check_key")
    op.alter_column("alerts", "resolved_at", new_column_name="ended_at")
    for name in ("expected", "low", "high", "score"):
        op.alter_column("alerts", name, existing_type=sa.Double(), nullable=True)
    for column in (
        sa.Column("severity", sa.Text(), nullable=False, server_default="ERROR"),
        sa.Column("snoozed_until", _TIME),
        sa.Column("closed_by", sa.Text()),
        sa.Column("reopened", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reopened_at", _TIME),
        sa.Column("cause", sa.Uuid()),
        sa.Column("feedback", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
    ):
        op.add_column("alerts", column)
        op.alter_column("alerts", column.name, server_default=None)
    op.drop_constraint(op.f("ck_alerts_state"), "alerts")
    op.create_check_constraint(op.f("ck_alerts_state"), "alerts", _NEW)
    op.drop_index("ix_alerts_urn", "alerts")
    op.create_index("ix_alerts_urn", "alerts", ["urn", "check_key", "opened_at", "id"])
    op.create_index("ix_alerts_active", "alerts", ["urn"], postgresql_where=sa.text(_ACTIVE))

    # What has been said stays said; subscribers that reconnect begin with what comes now.
    op.execute("DELETE FROM alert_changes")
    for name in ("state", "acknowledged_by", "acknowledged_at", "resolved_at"):
        op.drop_column("alert_changes", name)
    op.add_column("alert_changes", sa.Column("urn", _URN, nullable=False))
    op.add_column("alert_changes", sa.Column("alert", JSONB(), nullable=False))

    op.create_table(
        "quality_feedback",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("check_key", sa.Text(), nullable=False),
        sa.Column("point_time", _TIME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("urn", "check_key", "point_time", name=op.f("pk_quality_feedback")),
    )
    op.create_table(
        "quality_monitors",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("settings", JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_quality_monitors")),
    )


def downgrade() -> None:
    op.drop_table("quality_monitors")
    op.drop_table("quality_feedback")

    op.execute("DELETE FROM alert_changes")
    op.drop_column("alert_changes", "alert")
    op.drop_column("alert_changes", "urn")
    op.add_column("alert_changes", sa.Column("state", sa.Text(), nullable=False))
    op.add_column("alert_changes", sa.Column("acknowledged_by", sa.Text()))
    op.add_column("alert_changes", sa.Column("acknowledged_at", _TIME))
    op.add_column("alert_changes", sa.Column("resolved_at", _TIME))

    # The older release knows neither columns nor rules, and no alert that is snoozed.
    op.execute("DELETE FROM alerts WHERE check_key NOT IN ('row_count', 'freshness')")
    op.execute("DELETE FROM quality_results WHERE check_key NOT IN ('row_count', 'freshness')")
    op.execute("DELETE FROM quality_verdicts")
    op.execute("UPDATE alerts SET state = 'RESOLVED' WHERE state = 'CLOSED'")
    op.execute("UPDATE alerts SET state = 'OPEN' WHERE state = 'SNOOZED'")
    op.drop_index("ix_alerts_active", "alerts")
    op.drop_index("ix_alerts_urn", "alerts")
    op.drop_constraint(op.f("ck_alerts_state"), "alerts")
    op.create_check_constraint(op.f("ck_alerts_state"), "alerts", _OLD)
    for name in (
        "version",
        "feedback",
        "cause",
        "reopened_at",
        "reopened",
        "closed_by",
        "snoozed_until",
        "severity",
    ):
        op.drop_column("alerts", name)
    for name in ("expected", "low", "high", "score"):
        op.execute(f"UPDATE alerts SET {name} = 0 WHERE {name} IS NULL")
        op.alter_column("alerts", name, existing_type=sa.Double(), nullable=False)
    op.alter_column("alerts", "ended_at", new_column_name="resolved_at")
    op.alter_column("alerts", "check_key", new_column_name="metric")
    op.create_index("ix_alerts_urn", "alerts", ["urn", "opened_at", "id"])

    op.drop_column("quality_verdicts", "check_keys")
    op.drop_column("quality_verdicts", "dimensions")
    op.drop_column("quality_results", "dimension")
    op.drop_column("quality_results", "detail")
    op.alter_column("quality_results", "check_key", new_column_name="metric")
