"""Small working adapters that keep everything in this process, for tests of what uses a port."""
