"""`python -m neuroalign` is the command line."""

from neuroalign.cli import main

main()
