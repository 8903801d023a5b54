"""``python -m dmformer``."""

from dmformer.cli import main

if __name__ == "__main__":
    main()
