"""Self-Purifier: the rules of metadata health and the service that scores datasets."""
