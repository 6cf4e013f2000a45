"""Rules: what people say must hold of a dataset, and whether it does."""
