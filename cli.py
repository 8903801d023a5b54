"""``python cli.py ...`` from a checkout: the same as the command ``dmformer``."""

from dmformer.cli import main

if __name__ == "__main__":
    main()
