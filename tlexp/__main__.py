"""`python -m tlexp`."""

from tlexp.cli import main

if __name__ == "__main__":
    main()
