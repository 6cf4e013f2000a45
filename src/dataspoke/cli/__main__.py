"""``python -m dataspoke.cli``: the command line of this very interpreter."""

from dataspoke.cli import main

if __name__ == "__main__":
    main()
