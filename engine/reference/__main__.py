"""Print the reference of the mapping language."""

import sys

from engine.reference.page import page

if __name__ == "__main__":
    sys.stdout.write(page())
