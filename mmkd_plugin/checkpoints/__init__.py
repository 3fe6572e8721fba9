"""What a file of weights is, and how it is read without running it."""
