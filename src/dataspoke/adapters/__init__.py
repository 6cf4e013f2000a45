"""Implementations of the ports; built by dataspoke.runtime alone."""
