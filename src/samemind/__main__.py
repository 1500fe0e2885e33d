"""`python -m samemind`: the command line."""

from samemind.cli import main

main()
