"""Lets the tests import what they share, `watch_support`, however they are collected."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
