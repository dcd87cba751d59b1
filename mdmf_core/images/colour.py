"""From any mode, depth, profile and transparency to RGB of 8 bits in sRGB on white."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageChops, ImageCms

from mdmf_core.images.bounds import MAX_NUMBERS
from mdmf_core.images.metadata import clean

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
EMBEDDED = "the embedded profile"


def ordinary(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture in mode L, RGB, CMYK or LAB, or LA or RGBA where something is transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        return _narrowed(image, notes)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # a channel that nobody filled: browsers take it so, too
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):
            return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        return image if image.mode in ("LA", "RGBA") else image.convert("LA" if image.mode in "1L" else "RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _narrowed(image: Image.Image, notes: list[str]) -> Image.Image:
    """One channel of more than 8 bits, as L or (with a transparent value) LA."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0] if image.mode.startswith("I;16") else 16
    grey = eight_bits(values, notes, 2 ** min(bits, 16) - 1)
    if image.mode.startswith("I;16") and tags.get(_TIFF_PHOTOMETRIC) == 0:
        grey = 255 - grey
    narrow = Image.fromarray(grey)
    if isinstance(image.info.get("transparency"), int):
        opaque = Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8))
        return Image.merge("LA", (narrow, opaque))
    return narrow


def eight_bits(values: np.ndarray, notes: list[str], top_of_16: int = 65535) -> np.ndarray:
    """Scale numbers to uint8 of the same shape.

    uint16 counts from 0 to `top_of_16`. Wider numbers are taken as 0..1 (floating point only), 0..255 or
    0..65535, whichever holds them all; failing that, their whole range is stretched, with a note.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = np.minimum(np.rint(np.arange(65536) * (255 / top_of_16)), 255).astype(np.uint8)
        return table[values]
    finite = np.isfinite(values)
    has_holes = not finite.all()
    if has_holes:
        notes.append("The file holds values that are not numbers; they were taken as black.")
    low = values.min(where=finite, initial=0 if has_holes else values.flat[0])
    low, high = float(low), float(values.max(where=finite, initial=low))
    tops = [top for top in ((1.0,) if values.dtype.kind == "f" else ()) + (255.0, 65535.0) if high <= top]
    if low >= 0 and tops:
        black, white = 0.0, tops[0]
    else:
        black, white = low, high
        notes.append("The values exceed the usual range; all of them were stretched to 8 bits.")
    eight = np.empty(values.shape, np.uint8)
    for rows in np.array_split(np.arange(len(values)), -(-values.size // MAX_NUMBERS)):
        part = slice(rows[0], rows[-1] + 1)
        eight[part] = _scaled(np.where(finite[part], values[part], low), black, white)
    return eight


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Numbers to uint8 of the same shape, `black` to 0 and `white` to 255."""
    scaled = values.astype(np.float64)
    with np.errstate(all="ignore"):
        scaled -= black
        scaled *= 255 / ((white - black) or 1.0)
        np.rint(scaled, out=scaled)
    return np.nan_to_num(scaled, copy=False).clip(0, 255).astype(np.uint8)


def on_white(image: Image.Image, profile: bytes | None, notes: list[str], source: str = EMBEDDED) -> Image.Image:
    """Mode RGB: colours to sRGB, then whatever is transparent on white; `source` says where the profile comes from.

    An alpha of 254 is taken for 255: it can't be seen, and some programs write text into the lowest bit.
    """
    if image.mode not in ("LA", "RGBA"):
        return _to_srgb(image, profile, notes, source)
    alpha = image.getchannel("A")
    colours = _to_srgb(image.convert(image.mode[:-1]), profile, notes, source)
    if alpha.getextrema()[0] >= 254:
        return colours
    notes.append("Transparent parts were put on white.")
    colours.paste("white", mask=ImageChops.invert(alpha))
    return colours


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str], source: str) -> Image.Image:
    if image.mode == "LAB":
        return _transform(ImageCms.createProfile("LAB"), "LAB").apply(image)
    if profile:
        try:
            return _through_profile(image, profile, notes, source)
        except Exception:  # lcms and Pillow throw many kinds, and none of them concerns the picture itself
            notes.append("The embedded colour profile is broken or does not fit the picture, and was ignored.")
    return _as_rgb(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB, without the copy that `convert` makes of what is RGB already."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes, notes: list[str], source: str) -> Image.Image:
    """Convert by an embedded profile, unless it is sRGB by its effect: then no pixel may change by rounding.

    Floating-point transforms (tags D2B0 to D2B3) may have any number of stages and are passed over; profiles that
    have them must have ordinary ones too (ICC.1:2022, section 8).
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile.replace(b"D2B", b"off")))
    mode = _PROFILE_MODES[opened.profile.xcolor_space.strip()]
    if (image.mode, mode) == ("L", "RGB"):
        image = image.convert("RGB")
    if image.mode != mode:
        raise ImageCms.PyCMSError("the profile is for another kind of picture")
    transform = _transform(opened, mode)
    if mode != "CMYK":
        probe = _probe(mode)
        change = np.asarray(transform.apply(probe), np.int16) - np.asarray(probe.convert("RGB"), np.int16)
        if np.abs(change).max() <= 2:
            return _as_rgb(image)
    name = clean(opened.profile.profile_description or "", 60) if source == EMBEDDED else ""
    named = f" ({name.rstrip('.')})" if name else ""
    notes.append(f"The colours were converted from {source}{named} to sRGB.")
    return transform.apply(image)


def _transform(profile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _probe(mode: str) -> Image.Image:
    """All grey levels, or a 9 x 9 x 9 lattice of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.rint(np.linspace(0, 255, 9)).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3))
