"""What `import etcd_kv` loads."""

from __future__ import annotations

import subprocess
import sys

LOADED = "import sys, etcd_kv; print(*sys.modules)"


def test_importing_the_package_loads_no_module_that_only_some_programs_need() -> None:
    found = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=60
    )
    loaded = set(found.stdout.split())
    assert "etcd_kv.client" in loaded
    rare = {"etcd_kv._bulk", "etcd_kv._coalescing", "etcd_kv._scan_descending", "random"}
    assert not loaded & rare
