"""Feature maps, and what is made of the last one."""
