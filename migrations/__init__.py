"""Alembic migrations of the PostgreSQL schema."""
