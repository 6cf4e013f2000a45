"""A stand-in for DataHub, for the demo and the tests only. Never run it in place of a DataHub.

It answers the calls that DataHub's SDK, its command line and a gateway make, with DataHub's own
metadata models. What it lacks is what a catalogue needs in earnest: search relevance, policies,
scale, and durability beyond one SQLite file.
"""
