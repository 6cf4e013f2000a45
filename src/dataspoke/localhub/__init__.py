"""A stand-in for DataHub, for the demo and the tests only. Never run it in place of a DataHub."""
