"""Code that the commands in tools/ share."""
