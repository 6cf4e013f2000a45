"""The ASGI application that serves the federation subgraph."""
