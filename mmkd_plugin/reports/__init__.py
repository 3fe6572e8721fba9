"""Tables, figures and logs of runs, for the commands in tools/."""
