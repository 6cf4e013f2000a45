"""The one composition root: builds adapters and services from settings."""
