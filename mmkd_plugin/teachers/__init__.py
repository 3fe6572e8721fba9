"""Who teaches: the frozen model, its config, speed, input and classes."""
