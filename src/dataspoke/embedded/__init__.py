"""Servers for the demo and the tests: found, started and stopped as child processes."""
