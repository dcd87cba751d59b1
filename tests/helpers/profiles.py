"""Small ICC profiles."""

from __future__ import annotations

import struct

from PIL import ImageCms


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC display profile."""
    head = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:128]
    at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = struct.pack(">I", at + len(body))
    return size + head[4:16] + space + head[20:] + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * value))


WHITE = xyz(0.9642, 1.0, 0.8249)

TAGS = {
    b"wtpt": WHITE,
    b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
    b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
    b"bXYZ": xyz(0.1571, 0.0666, 0.7841),
    **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(2.2)),
}
P3_LIKE = profile(b"RGB ", TAGS)
