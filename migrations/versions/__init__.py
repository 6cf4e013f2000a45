"""One file for each migration, named by date."""
