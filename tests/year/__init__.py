"""A year in a few minutes: documents come, change and go, and everything grows older."""
