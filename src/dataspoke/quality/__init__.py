"""Quality Control: detectors, alerts and the service that scans datasets."""
