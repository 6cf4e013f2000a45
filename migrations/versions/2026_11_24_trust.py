"""What every search looks at of a dataset, in columns of its own, and what things are called."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_trust"
down_revision = "2026_11_24_backfill"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("urn", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_labels")),
    )
    op.add_column(
        "snapshots",
        sa.Column("deprecated", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    # Nothing within a string can look like this, as its quotes are escaped.
    op.execute(
        """UPDATE snapshots SET deprecated = true WHERE content LIKE '%"deprecated": true%'"""
    )
    op.add_column("quality_verdicts", sa.Column("freshness", sa.Text()))
    op.add_column("quality_verdicts", sa.Column("queries", sa.Double()))
    op.execute(
        """
        UPDATE quality_verdicts SET
          freshness = jsonb_path_query_first(
            dimensions, '$[*] ? (@.dimension == "FRESHNESS").status') #>> '{}',
          queries = (jsonb_path_query_first(
            results, '$[*] ? (@.check.metric == "query_count").judgement.point.value'
          ) #>> '{}')::double precision
        """
    )


def downgrade() -> None:
    op.drop_column("quality_verdicts", "queries")
    op.drop_column("quality_verdicts", "freshness")
    op.drop_column("snapshots", "deprecated")
    op.drop_table("labels")
