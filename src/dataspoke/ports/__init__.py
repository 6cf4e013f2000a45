"""What each outside system must do for DataSpoke, as Protocols; no implementation."""
