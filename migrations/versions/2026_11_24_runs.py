"""Runs of many datasets with their progress, and what detectors have learned."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_runs"
down_revision = "2026_11_24_notifications"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_URN = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "quality_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", _URN, nullable=False),
        sa.Column("state", sa.Text(), server_default="RUNNING", nullable=False),
        sa.Column("started_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("total", sa.Integer()),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requested_by", sa.Text()),
        sa.CheckConstraint(
            "kind IN ('SCHEDULED', 'REQUESTED', 'REFIT')", name=op.f("ck_quality_runs_kind")
        ),
        sa.CheckConstraint(
            "state IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED')",
            name=op.f("ck_quality_runs_state"),
        ),
        sa.CheckConstraint(
            "(state = 'RUNNING') = (finished_at IS NULL)", name=op.f("ck_quality_runs_finished")
        ),
        sa.CheckConstraint(
            "done >= 0 AND failed >= 0 AND done + failed <= total",
            name=op.f("ck_quality_runs_counts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_runs")),
    )
    op.create_index(
        "uq_quality_runs_scanning",
        "quality_runs",
        ["scope"],
        unique=True,
        postgresql_where=sa.text("state = 'RUNNING' AND kind <> 'REFIT'"),
    )
    op.create_index(
        "uq_quality_runs_refitting",
        "quality_runs",
        ["scope"],
        unique=True,
        postgresql_where=sa.text("state = 'RUNNING' AND kind = 'REFIT'"),
    )
    op.create_index("ix_quality_runs_started_at", "quality_runs", ["started_at", "id"])
    op.create_table(
        "quality_run_datasets",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("urn", _URN, nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["quality_runs.id"],
            name=op.f("fk_quality_run_datasets_run_id_quality_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "urn", name=op.f("pk_quality_run_datasets")),
    )
    op.create_table(
        "quality_models",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("check_key", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("fitted_at", _TIME, nullable=False),
        sa.Column("judged_until", _TIME, nullable=False),
        sa.Column("failing_since", _TIME),
        sa.PrimaryKeyConstraint("urn", "check_key", name=op.f("pk_quality_models")),
    )
    # The states are compressed already.
    op.execute("ALTER TABLE quality_models ALTER COLUMN state SET STORAGE EXTERNAL")
    op.create_index("ix_quality_models_fitted_at", "quality_models", ["fitted_at"])
    op.add_column("jobs", sa.Column("run_id", sa.Uuid()))
    op.create_index(
        "ix_jobs_run_id", "jobs", ["run_id"], postgresql_where=sa.text("state = 'READY'")
    )
    # Scans were of one dataset each.
    op.execute(
        "UPDATE jobs SET kind = 'scan_datasets', "
        "payload = jsonb_build_object('urns', jsonb_build_array(payload -> 'urn')) "
        "WHERE kind = 'scan_dataset'"
    )


def downgrade() -> None:
    # The next full scan makes up for them.
    op.execute("DELETE FROM jobs WHERE kind IN ('scan_datasets', 'delete_old')")
    op.drop_index("ix_jobs_run_id", "jobs")
    op.drop_column("jobs", "run_id")
    op.drop_table("quality_models")
    op.drop_table("quality_run_datasets")
    op.drop_table("quality_runs")
