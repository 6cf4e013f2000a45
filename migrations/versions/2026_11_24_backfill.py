"""Index requests of a back-fill wait behind all others."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_backfill"
down_revision = "2026_11_24_snapshots"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "index_requests",
        sa.Column("background", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.drop_index("ix_index_requests_place", table_name="index_requests")
    op.create_index("ix_index_requests_place", "index_requests", ["background", "place"])


def downgrade() -> None:
    op.drop_index("ix_index_requests_place", table_name="index_requests")
    op.create_index("ix_index_requests_place", "index_requests", ["place"])
    op.drop_column("index_requests", "background")
