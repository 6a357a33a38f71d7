"""The command line: one file per command; ``main`` finds them by their file names."""
