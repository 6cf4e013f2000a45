"""The search index: documents, what is in them, their terms and their vectors."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY

from dataspoke.errors import ConfigurationError

revision = "2026_11_24_vectors"
down_revision = "2026_11_24_store"
branch_labels = None
depends_on = None

# Searches with filters need the iterative scans of this version.
_PGVECTOR = (0, 8)


def upgrade() -> None:
    _require_pgvector()
    op.create_table(
        "document_totals",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Double(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_document_totals_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_totals")),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("urn", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("tags", ARRAY(sa.Text()), nullable=False),
        sa.Column("owners", ARRAY(sa.Text()), nullable=False),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("length", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("urn", name=op.f("uq_documents_urn")),
    )
    op.create_index("ix_documents_domain", "documents", ["domain"], unique=False)
    op.create_index(
        "ix_documents_owners", "documents", ["owners"], unique=False, postgresql_using="gin"
    )
    op.create_index("ix_documents_platform", "documents", ["platform"], unique=False)
    op.create_index(
        "ix_documents_tags", "documents", ["tags"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "postings",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("frequency", sa.REAL(), nullable=False),
        sa.Column("length", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "term", name=op.f("pk_postings")),
    )
    op.create_index(
        "ix_postings_term",
        "postings",
        ["term"],
        unique=False,
        postgresql_include=["document_id", "frequency", "length"],
    )
    op.create_table(
        "term_counts",
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("term", name=op.f("pk_term_counts")),
    )
    op.create_table(
        "document_contents",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("vector", HALFVEC(), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["documents.id"],
            name=op.f("fk_document_contents_document_id_documents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_document_contents")),
    )
    op.create_index("ix_document_contents_model", "document_contents", ["model"], unique=False)


def downgrade() -> None:
    # The extension stays: it may have been there before, and others may use it.
    op.drop_table("document_contents")
    op.drop_table("term_counts")
    op.drop_table("postings")
    op.drop_table("documents")
    op.drop_table("document_totals")


def _require_pgvector() -> None:
    connection = op.get_bind()
    available = connection.scalar(
        sa.text(
            "SELECT coalesce(installed_version, default_version) "
            "FROM pg_available_extensions WHERE name = 'vector'"
        )
    )
    if available is None:
        raise ConfigurationError(
            "PostgreSQL lacks the pgvector extension; install version 0.8 or later on its server "
            "(the image pgvector/pgvector brings it)."
        )
    if tuple(int(number) for number in available.split(".")[:2]) < _PGVECTOR:
        raise ConfigurationError(
            f"PostgreSQL has pgvector {available} and search needs 0.8 or later; install it and "
            "run `ALTER EXTENSION vector UPDATE`."
        )
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
