"""``python -m dataspoke.cli``: the command line of this very interpreter."""

from dataspoke.cli import main

main()
