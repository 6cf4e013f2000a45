"""Vectors of column groups, more to filter by, and smaller postings; the index is filled anew."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY

revision = "2026_11_24_column_groups"
down_revision = "2026_11_24_trust"
branch_labels = None
depends_on = None

_MANY = ("terms", "consumers", "related")


def upgrade() -> None:
    _forget_documents()
    op.drop_table("postings")
    op.drop_table("term_counts")
    # With it go the HNSW indexes of all models.
    op.drop_index("ix_document_contents_model", "document_contents")
    op.drop_column("document_contents", "vector")
    op.drop_column("document_contents", "model")
    for name in _MANY:
        op.add_column("documents", sa.Column(name, ARRAY(sa.Text()), nullable=False))
    op.add_column("documents", sa.Column("model", sa.Text()))
    op.create_index("ix_documents_model", "documents", ["model"])
    op.create_index("ix_documents_terms", "documents", ["terms"], postgresql_using="gin")
    op.create_index("ix_documents_consumers", "documents", ["consumers"], postgresql_using="gin")
    _create_vectors("dataset_vectors")
    _create_vectors(
        "group_vectors",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
    )
    op.create_table(
        "term_counts",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("peak_frequency", sa.REAL(), nullable=False),
        sa.Column("peak_share", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_term_counts")),
        sa.UniqueConstraint("term", name=op.f("uq_term_counts_term")),
    )
    op.create_table(
        "postings",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("term_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("frequency", sa.REAL(), nullable=False),
        sa.Column("length", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint(
            "document_id",
            "term_id",
            name=op.f("pk_postings"),
            postgresql_include=["frequency", "length"],
        ),
    )
    op.create_index(
        "ix_postings_term_id",
        "postings",
        ["term_id"],
        postgresql_include=["document_id", "frequency", "length"],
    )


def downgrade() -> None:
    for table in ("postings", "term_counts", "group_vectors", "dataset_vectors"):
        op.drop_table(table)
    _forget_documents()
    op.drop_index("ix_documents_consumers", "documents")
    op.drop_index("ix_documents_terms", "documents")
    op.drop_index("ix_documents_model", "documents")
    for name in ("model", *_MANY):
        op.drop_column("documents", name)
    op.add_column("document_contents", sa.Column("model", sa.Text()))
    op.add_column("document_contents", sa.Column("vector", HALFVEC()))
    op.create_index("ix_document_contents_model", "document_contents", ["model"])
    op.create_table(
        "term_counts",
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("term", name=op.f("pk_term_counts")),
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
        postgresql_include=["document_id", "frequency", "length"],
    )


def _forget_documents() -> None:
    op.execute("TRUNCATE documents, document_contents, document_totals")


def _create_vectors(name: str, *key: sa.Column[int]) -> None:
    op.create_table(
        name,
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        *key,
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("vector", HALFVEC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["documents.id"],
            name=op.f(f"fk_{name}_document_id_documents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "document_id", *(column.name for column in key), name=op.f(f"pk_{name}")
        ),
    )
