"""A telemetry of OpenTelemetry's SDK that keeps in memory what is exported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .exported import Exported


@pytest.fixture
def exported() -> Iterator[Exported]:
    exported = Exported()
    yield exported
    exported.shutdown()
