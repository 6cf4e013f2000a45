"""Rules, and the schemas that they compare."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_24_rules"
down_revision = "2026_11_24_runs"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "quality_rules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("definition", JSONB(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_quality_rules_name")),
    )
    op.create_table(
        "dataset_schemas",
        sa.Column("urn", sa.Text(collation="C"), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("columns", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("urn", "seen_at", name=op.f("pk_dataset_schemas")),
    )
    op.create_index(
        "ix_quality_results_rule",
        "quality_results",
        ["check_key", "point_time", "urn"],
        postgresql_where=sa.text("check_key LIKE 'rule:%'"),
    )


def downgrade() -> None:
    # What older code cannot read: a result of a rule, and a verdict or an alert with one.
    op.execute("DELETE FROM quality_results WHERE check_key LIKE 'rule:%'")
    op.execute("DELETE FROM alerts WHERE check_key LIKE 'rule:%'")
    op.drop_index("ix_quality_results_rule", "quality_results")
    op.drop_table("dataset_schemas")
    op.drop_table("quality_rules")
