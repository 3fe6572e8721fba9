"""The queries and the encoder of DETRs."""
