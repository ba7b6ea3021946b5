"""Finds the starts of requests and replies in HTTP/2 (RFC 9113, sections 3.4 and 4.1)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PREFACE", "Headers", "HeadersFinder"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_SIZE = 9
_HEADERS = 1


class Headers(NamedTuple):
    """A HEADERS frame in some bytes."""

    offset: int
    """Where it begins; 0 if it began in earlier bytes."""
    stream: int
    """The id of its stream. A client's later requests have higher ids."""


class HeadersFinder:
    """Parses the frames that one side of a connection sends, from the first frame on."""

    def __init__(self) -> None:
        self._header = b""
        # The bytes of the current frame's payload that are still to come.
        self._left = 0

    def feed(self, data: bytes) -> list[Headers]:
        """Take the next bytes; return the HEADERS frames whose frame headers end in them."""
        found: list[Headers] = []
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            begin = at - len(self._header)
            piece = data[at : at + _HEADER_SIZE - len(self._header)]
            self._header += piece
            at += len(piece)
            if len(self._header) == _HEADER_SIZE:
                self._left = int.from_bytes(self._header[:3], "big")
                if self._header[3] == _HEADERS:
                    # The highest bit is reserved.
                    stream = int.from_bytes(self._header[5:], "big") & 0x7FFF_FFFF
                    found.append(Headers(max(begin, 0), stream))
                self._header = b""
        return found
