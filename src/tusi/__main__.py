"""`python -m tusi` is the command line."""

from tusi.cli import main

main()
