"""Snapshots of datasets, and the catalogue's language."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_snapshots"
down_revision = "2026_11_24_sla"
branch_labels = None
depends_on = None

_URN = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "snapshots",
        sa.Column("urn", _URN, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", _URN, nullable=False),
        sa.Column("domain", _URN),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_snapshots")),
    )
    op.create_index("ix_snapshots_name", "snapshots", ["name"])
    op.create_table(
        "vocabularies",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_vocabularies_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vocabularies")),
    )


def downgrade() -> None:
    op.drop_table("vocabularies")
    op.drop_table("snapshots")
