"""Deadlines: targets, and how it stood with each."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_24_sla"
down_revision = "2026_11_24_rules"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_URN = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "sla_targets",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("target", JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("look_at", _TIME),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_sla_targets")),
    )
    op.create_index("ix_sla_targets_look_at", "sla_targets", ["look_at", "urn"])
    op.create_table(
        "sla_outlooks",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("deadline", _TIME, nullable=False),
        sa.Column("outlook", JSONB(), nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("urn", "deadline", name=op.f("pk_sla_outlooks")),
    )


def downgrade() -> None:
    op.drop_table("sla_outlooks")
    op.drop_table("sla_targets")
    # The older release does not know the alerts on deadlines; their changes go with them.
    op.execute("DELETE FROM alerts WHERE check_key = 'sla'")
