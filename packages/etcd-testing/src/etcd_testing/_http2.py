"""As much of HTTP/2 as it takes to see where a reply begins (RFC 9113, sections 3.4 and 4.1)."""

from __future__ import annotations

__all__ = ["PREFACE", "HeadersFinder"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_SIZE = 9
_HEADERS = 1


class HeadersFinder:
    """Follows the frames that a server sends on one connection, from its first byte on."""

    def __init__(self) -> None:
        self._header = b""
        # How much of the payload of the current frame is still to come.
        self._left = 0

    def feed(self, data: bytes) -> int | None:
        """Take the next bytes; where in them the first HEADERS frame begins, None if none does.

        A frame whose header began in earlier bytes begins at 0.
        """
        found: int | None = None
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
                if self._header[3] == _HEADERS and found is None:
                    found = max(begin, 0)
                self._header = b""
        return found
