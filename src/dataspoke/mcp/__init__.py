"""The server of the Model Context Protocol: a client of the gateway that speaks to agents."""
