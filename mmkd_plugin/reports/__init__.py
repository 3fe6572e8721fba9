"""Tables, drawings and records of runs, for the commands in tools/."""
