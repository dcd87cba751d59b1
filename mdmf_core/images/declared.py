"""Colours that a container gives by numbers instead of a profile: CICP code points, PNG's gAMA and cHRM.

Sources: ITU-T H.273, tables 2 and 3 (primaries, transfer); PNG Specification (Third Edition), 11.3.2 (cICP, gAMA,
cHRM, sRGB) and 12 (which of them counts); ICC.1:2022, 10.18 and 10.31 (para, XYZ).
"""

from __future__ import annotations

import io
import re
import struct
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import ImageCms

from mdmf_core.images.containers import boxes, png

D65, C, DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES = {
    1: ("BT.709", SRGB, D65),
    4: ("BT.470 M", (0.67, 0.33, 0.21, 0.71, 0.14, 0.08), C),
    5: ("BT.470 BG", (0.64, 0.33, 0.29, 0.60, 0.15, 0.06), D65),
    6: ("BT.601", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070), D65),
    7: ("SMPTE 240M", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070), D65),
    8: ("film", (0.681, 0.319, 0.243, 0.692, 0.145, 0.049), C),
    9: ("BT.2020", (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), D65),
    11: ("DCI-P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060), DCI),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060), D65),
    22: ("EBU 3213", (0.630, 0.340, 0.295, 0.605, 0.155, 0.077), D65),
}
# The curve of sRGB and those of television (1, 6, 14, 15), which browsers and viewers show as sRGB's.
_LIKE_SRGB = (1, 2, 6, 13, 14, 15)
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_HDR = {16: "PQ", 18: "HLG"}
_HDR_NAME = re.compile(r"(?<![A-Za-z])(?:PQ|HLG)(?![A-Za-z])")
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
NOT_CONVERTED = "The file's statement about its colours ({0}) is not understood here, so they were not converted."


@dataclass(frozen=True)
class Declared:
    """What a file says about its colours: a profile made of its numbers, or a note why they are left as they are."""

    words: str = ""
    profile: bytes | None = None
    note: str = ""


def declared(data: bytes, kind: str, profile: bytes | None = None) -> Declared:
    """What the container says beside its profile; nothing where it is sRGB or where the profile says all of it."""
    try:
        found = Declared()
        if kind == "PNG":
            found = _of_png(png.colour(data))
        elif kind in ("AVIF", "HEIC") and (codes := boxes.File(data).colour()):
            found = _of_codes(*codes[:2]) if not profile or codes[1] in _HDR else found
    except (ValueError, IndexError, np.linalg.LinAlgError):
        found = Declared(note=NOT_CONVERTED.format("broken numbers"))
    curve = _hdr_of(profile) if profile and found == Declared() else ""
    return _made_for_hdr(curve) if curve else found


def _hdr_of(profile: bytes) -> str:
    """The curve for HDR of a profile that says so. Source: ICC.1:2022, 9.2.17 (cicp), and names of older ones."""
    with suppress(Exception):  # a broken profile is the converter's affair
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        if match := _HDR_NAME.search(opened.profile_description or ""):
            return match[0]
        for at in range(132, 132 + 12 * min(int.from_bytes(profile[128:132], "big"), 100), 12):
            if profile[at : at + 4] == b"cicp":
                return _HDR.get(profile[int.from_bytes(profile[at + 4 : at + 8], "big") + 9], "")
    return ""


def _of_png(found: dict[bytes, tuple[int, ...]]) -> Declared:
    """cICP counts before iCCP, that before sRGB, that before gAMA and cHRM."""
    if b"cICP" in found:
        primaries, transfer, matrix, full = found[b"cICP"]
        if matrix == 0 and full == 1:
            return _of_codes(primaries, transfer)
        return Declared(note=NOT_CONVERTED.format("cICP for video"))
    if b"iCCP" in found or b"sRGB" in found or not found:
        return Declared()
    chroma = [number / 100_000 for number in found.get(b"cHRM", ())]
    white, corners = (tuple(chroma[:2]), tuple(chroma[2:])) if chroma else (D65, SRGB)
    gamma = found.get(b"gAMA", (45_455,))[0] / 100_000
    if gamma <= 0.05 or gamma > 20:
        return Declared(note=NOT_CONVERTED.format("gAMA"))
    # libpng: a gamma within 5% of sRGB's needs no correction (PNG_GAMMA_THRESHOLD).
    ordinary = abs(gamma * 2.2 - 1) < 0.05
    if ordinary and np.allclose((*white, *corners), (*D65, *SRGB), atol=0.003):
        return Declared()
    curve = _SRGB_CURVE if b"gAMA" not in found else (1 / gamma,)
    words = "gAMA and cHRM" if len(found) > 1 else found.popitem()[0].decode()
    return Declared(f"the file's {words}", _profile(corners, white, curve))


def _of_codes(primaries: int, transfer: int) -> Declared:
    """CICP code points."""
    if transfer in _HDR:
        return _made_for_hdr(_HDR[transfer])
    primaries = 1 if primaries == 2 else primaries
    if primaries not in _PRIMARIES or not (transfer in _LIKE_SRGB or transfer in _EXPONENTS):
        return Declared(note=NOT_CONVERTED.format(f"CICP {primaries}, {transfer}"))
    if primaries in (1, 5, 6, 7, 22) and transfer in _LIKE_SRGB:
        return Declared()  # television's primaries differ by less than what viewers correct
    name, corners, white = _PRIMARIES[primaries]
    curve = (_EXPONENTS[transfer],) if transfer in _EXPONENTS else _SRGB_CURVE
    return Declared(f"{name} (CICP)", _profile(corners, white, curve))


def _made_for_hdr(curve: str) -> Declared:
    return Declared(
        note=f"The picture is made for HDR displays ({curve}); it was read without tone mapping, so brightness and "
        "colours are not as they are shown."
    )


def _profile(corners: tuple[float, ...], white: tuple[float, ...], curve: tuple[float, ...]) -> bytes:
    """An ICC profile of three primaries, a white point and one curve."""
    light = _xyz(*white)
    mixed = np.stack([_xyz(*corners[at : at + 2]) for at in (0, 2, 4)], 1)
    adapted = _adaptation(light) @ (mixed * np.linalg.solve(mixed, light))
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 100:
        raise ValueError("no such primaries")
    shape = b"para" + struct.pack(">4xHxx", 0 if len(curve) == 1 else 3) + _fixed(curve)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50)}
    tags |= {b"rgb"[at : at + 1] + b"XYZ": b"XYZ \0\0\0\0" + _fixed(adapted[:, at]) for at in range(3)}
    tags |= {letter + b"TRC": shape for letter in (b"r", b"g", b"b")}
    return _assembled(tags)


def _xyz(x: float, y: float) -> np.ndarray:
    if y <= 0:
        raise ValueError("no such colour")
    return np.array([x / y, 1, (1 - x - y) / y])


def _adaptation(white: np.ndarray) -> np.ndarray:
    """From colours under `white` to colours under D50."""
    return np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD


def _fixed(values) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * float(value))) for value in values)


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    head = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:128]
    at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    return struct.pack(">I", at + len(body)) + head[4:] + table + body
