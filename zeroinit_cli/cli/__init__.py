"""The command line: a module for each command. The only place that parses arguments and prints.

Nothing here imports numpy or torch at its top: `--help` and `--version` must answer at once.
"""
