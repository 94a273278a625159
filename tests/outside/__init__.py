"""Models of other people's packages: planned, initialised, run; and a table of what was seen."""
