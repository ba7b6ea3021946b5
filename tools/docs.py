"""Builds the documentation: `python3 tools/dev.py docs`.

docs            build it into .cache/docs/site, and check every link of what was built
docs --serve    serve it on 127.0.0.1:8000 while it is written; further arguments are mkdocs'

A warning is an error. What is built needs no network: no font, script or picture of another host.
"""

from __future__ import annotations

import os
import subprocess
import sys

import site_links
from environment import ROOT

SITE = ROOT / ".cache" / "docs" / "site"


def main(arguments: list[str]) -> int:
    # A notice about what follows Material; see requirements/docs.txt.
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    mkdocs = [sys.executable, "-m", "mkdocs"]
    match arguments:
        case []:
            built = subprocess.run(
                [*mkdocs, "--quiet", "build", "--strict", "--clean"], cwd=ROOT, env=variables
            )
            if built.returncode != 0:
                return built.returncode
            problems = site_links.check(SITE)
            print("\n".join(problems) if problems else f"built {SITE.relative_to(ROOT)}")
            return 1 if problems else 0
        case ["--serve", *rest]:
            os.chdir(ROOT)
            # --strict would end the server at the first mistake of a page that is being written.
            os.execve(sys.executable, [*mkdocs, "serve", "--no-strict", *rest], variables)
        case _:
            print((__doc__ or "").strip())
            return 0 if arguments == ["--help"] else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
