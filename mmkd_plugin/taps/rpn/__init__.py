"""The region proposal network of two-stage detectors."""
