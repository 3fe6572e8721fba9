"""What must hold in a run, whichever hook asks for it."""
