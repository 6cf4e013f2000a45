"""From a GraphQL field to a service call."""
