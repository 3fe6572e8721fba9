"""What several hooks need of a run: ranks, signals, finite weights."""
