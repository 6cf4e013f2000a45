"""The store and vectors ports on PostgreSQL."""
