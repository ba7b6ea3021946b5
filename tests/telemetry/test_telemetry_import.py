"""Nothing of OpenTelemetry is imported unless a program asks for it."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = 'import sys; sys.modules["opentelemetry"] = None\n'
ASK = 'print([name for name in sys.modules if name.startswith("opentelemetry")])\n'


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys\n" + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_client_does_not_import_opentelemetry() -> None:
    done = run("import etcd_client, aetcd\netcd_client.Client()\n" + ASK)
    assert done.stdout == "[]\n", done.stderr


def test_the_view_imports_the_api_alone() -> None:
    done = run("import etcd_channel.opentelemetry\n" + ASK)
    assert "'opentelemetry.trace'" in done.stdout, done.stderr
    assert "opentelemetry.sdk" not in done.stdout


def test_the_client_works_without_opentelemetry_and_the_view_names_the_extra() -> None:
    done = run(BLOCKED + "import etcd_client\nimport etcd_channel.opentelemetry")
    assert done.returncode == 1
    assert (
        "ImportError: etcd_channel.opentelemetry needs OpenTelemetry:"
        " pip install etcd-channel[opentelemetry]\n"
    ) in done.stderr
