"""The clone's own commands, for any Python from 3.10 on and nothing installed.

python3 tools/dev.py demo [ARGUMENTS]   a tour of the client on a real etcd (examples/tour.py)
python3 tools/dev.py test [ARGUMENTS]   the tests; the arguments are pytest's
python3 tools/dev.py cover [ARGUMENTS]  the same, and how much of the packages they reach
python3 tools/dev.py types [PATHS]      mypy, of everything or of what is named
python3 tools/dev.py bench [ARGUMENTS]  the benchmarks (benchmarks/README.md)
python3 tools/dev.py faults [ARGUMENTS] traffic on a cluster under faults, and its judges
python3 tools/dev.py docs [--serve]     the documentation, built or served (mkdocs.yml)
python3 tools/dev.py new-package NAME   an empty package (CONTRIBUTING.md)
python3 tools/dev.py build [DIRECTORY]  the sdists and wheels of all packages
python3 tools/dev.py matrix TABLE       the wheels on every Python, etcd … (tools/matrix.py)
python3 tools/dev.py release VERSION    the version of all packages (docs/releasing.md)
python3 tools/dev.py run COMMAND ...    a tool of development: ruff, uv, hatch, python

Each makes the environment that it needs under .cache/ once, and finds it there again.
"""

import sys

# An older Python must be able to read this file, to say that it is too old: the rest is elsewhere.
if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit("dev.py: Python 3.10 or newer is needed, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031

import commands

if __name__ == "__main__":
    try:
        sys.exit(commands.main(sys.argv[1:], usage=__doc__ or ""))
    except KeyboardInterrupt:
        sys.exit(130)
