"""Predictive SLA: whether a dataset will be loaded by its deadline, and what is in the way."""
