"""The box head of two-stage detectors, on sampled RoIs."""
