"""The dense heads of one-stage detectors."""
