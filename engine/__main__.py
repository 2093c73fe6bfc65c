"""`python -m engine` is `carelane`."""

from engine.cli import main

if __name__ == "__main__":
    main()
