"""`python -m ganray`."""

from ganray.cli.app import main

main()
