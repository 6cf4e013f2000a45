"""The hub port on a real DataHub: GraphQL for reads, the SDK for writes, polling for events."""
