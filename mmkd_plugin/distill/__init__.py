"""One step of distillation, without a runner."""
