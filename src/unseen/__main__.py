"""`python -m unseen` is the program `unseen`."""

from unseen.cli import main

main()
