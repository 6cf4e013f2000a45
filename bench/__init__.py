"""Benchmarks, side by side with what one would otherwise use. See README.md."""
