"""`python3 tools/dev.py faults`: see programme/command.py."""

import sys

from programme.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
