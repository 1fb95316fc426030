"""`python -m docmill` is the `docmill` command."""

from docmill.cli import main

main()
