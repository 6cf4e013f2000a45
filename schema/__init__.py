"""What the API looks like: one file for each concept."""
