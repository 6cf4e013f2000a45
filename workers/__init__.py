"""The background process: jobs, schedule, relay and the consumer of DataHub events."""
