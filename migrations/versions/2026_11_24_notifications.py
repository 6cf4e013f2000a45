"""The outbox of notifications, and what people want to hear."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "2026_11_24_notifications"
down_revision = "2026_11_24_checks"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("message", JSONB(), nullable=False),
        sa.Column("not_before", _TIME),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("planned_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint(
            "state IN ('PENDING', 'DELIVERED', 'DROPPED', 'FAILED')",
            name=op.f("ck_notifications_state"),
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.id"],
            name=op.f("fk_notifications_alert_id_alerts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint(
            "alert_id",
            "channel",
            "address",
            "change",
            name=op.f("uq_notifications_alert_id_channel_address_change"),
        ),
    )
    op.create_table(
        "notification_preferences",
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("preferences", JSONB(), nullable=False),
        sa.Column("teams", ARRAY(sa.Text()), nullable=False),
        sa.Column("saved_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_notification_preferences")),
    )
    op.create_index(
        "ix_notification_preferences_teams",
        "notification_preferences",
        ["teams"],
        unique=False,
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_table("notification_preferences")
    op.drop_table("notifications")
