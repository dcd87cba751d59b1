"""From an untrusted video file to at most 32 upright RGB frames, spread evenly over its time; or one sentence why not.

`look` goes through the packets of the first video stream, without decoding, and chooses; `cut` decodes what was chosen.
Both run in a decoder process (`images.clip` asks it), within its time and memory. Besides: FFmpeg gets the one
container that the first bytes name, and of codecs only `CODECS`; it opens no other file and no address; it works on one
thread; and it refuses frames of more pixels than a picture may have.

What a file says of its length is not believed: times are those of the packets that are there. Where a frame that was
compressed on its own (a key frame) lies close enough to the time wanted, it is taken, for it lost least.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_core.errors import ImageError
from mdmf_core.images.bounds import MAX_PIXELS, Decoding, check_size
from mdmf_core.images.kinds import HEAD, video_kind
from mdmf_core.images.metadata import clean
from mdmf_core.images.reader import load_file

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

MOST = 32
MAX_PACKETS = 2_000_000
AT_ONCE = 34_000_000  # pixels of the frames of one answer; a larger frame is alone in its answer
SECONDS = 7.0  # of processor time for one answer; what is not reached then is left out
CODECS = ("h264", "hevc", "av1", "libdav1d", "vp9", "vp8", "mpeg4", "mjpeg", "prores", "mpeg2video", "h263")
NO_VIDEO = "The file is not a video that can be read here; accepted are MP4, MOV, WebM, Matroska and AVI."
NO_STREAM = "The file has no video in it, only sound or text."
DAMAGED = "The video is damaged or cut off, so that no frame can be decoded; get a fresh copy of it."
ENCRYPTED = "The video is encrypted; only a copy without protection can be analysed."
CODEC = "The video is coded with {0}, which can't be read here; save it as MP4 with H.264."
SLOW = "The video takes too long to decode; save it again with more key frames, or smaller."
TOO_MANY = "The video is made of far too many parts; cut it, or save it again."
LENGTH = "The file says that it lasts {0:.1f} s, but its frames last {1:.1f} s; it may be cut off."
HDR = "The video has a high dynamic range; its colours were taken as ordinary ones, so it looks flatter than it is."
_DEMUXERS = {"MP4": "mov", "MOV": "mov", "WebM": "matroska", "Matroska": "matroska", "AVI": "avi"}
_HDR_CURVES = {16, 18}  # SMPTE ST 2084 and ARIB STD-B67 (ITU-T H.273, table 3)
_BT709, _BT601, _UNKNOWN = 1, 5, 2  # FFmpeg's numbers of matrices, those of H.273
_WITH_CARE = 0x2 | 0x2000 | 0x4000 | 0x40000  # swscale: bilinear, full chroma both ways, accurate rounding
_FARTHEST = 2**52  # a stamp beyond is nonsense, and differences would not be exact
_LEAST_HD = 720  # pixels of height from which players take colours without a word for BT.709


@dataclass(frozen=True)
class Clip:
    """A video file and what was chosen of it.

    Attributes:
        name: file name without its folder.
        sha256: of the file's bytes.
        format: "MP4", "MOV", "WebM", "Matroska" or "AVI".
        n_bytes: size of the file.
        codec: as FFmpeg calls it.
        seconds: from the first frame to the end of the last.
        n_frames: how many the file holds.
        first: the stamp of the first frame.
        unit: seconds of the stream's unit of time.
        chosen: (F, 2) for each frame chosen, the stamp of the key frame that it builds on and its own.
        notes: what the user should know, one sentence each.
    """

    name: str
    sha256: str
    format: str
    n_bytes: int
    codec: str
    seconds: float
    n_frames: int
    first: int
    unit: float
    chosen: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


def look(path: str | Path, min_side: int) -> Clip:
    """What a video file holds, and which of its frames to take.

    Args:
        path: of the file.
        min_side: least width and height in pixels.

    Raises:
        ImageError: it is no video, damaged, encrypted, or too small or too large.
    """
    data = load_file(Path(path))
    with _opened(data) as (container, stream):
        check_size(stream.codec_context.width, stream.codec_context.height, min_side, "video")
        stamps, keys = _stamps(container, stream)
        unit, said = float(stream.time_base or 1), _said(container, stream)
        last = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
        seconds = float(stamps[-1] - stamps[0] + last) * unit
        wrong = said is not None and said > 0.5 + 1.1 * seconds
        return Clip(
            name=clean(Path(path).name, 255),
            sha256=hashlib.sha256(data).hexdigest(),
            format=video_kind(data[:HEAD]) or "",
            n_bytes=len(data),
            codec=stream.codec_context.codec.canonical_name,
            seconds=seconds,
            n_frames=len(stamps),
            first=int(stamps[0]),
            unit=unit,
            chosen=tuple(_with_keys(choose(stamps, keys), keys)),
            notes=(LENGTH.format(said, seconds),) if wrong else (),
        )


def choose(stamps: np.ndarray, keys: np.ndarray, most: int = MOST) -> np.ndarray:
    """At most `most` stamps, (F,), in the middle of as many equal parts of the time.

    Args:
        stamps: (S,) of all frames, rising.
        keys: (K,) of the key frames among them; one that lies in the part is taken, the one closest to its middle.
        most: how many parts.
    """
    if len(stamps) <= most:
        return stamps
    part = (stamps[-1] - stamps[0]) / most
    middles = stamps[0] + part * (np.arange(most) + 0.5)
    found = _closest(stamps, middles)
    if len(keys):
        near = _closest(keys, middles)
        found = np.where(np.abs(near - middles) <= part / 2, near, found)
    return np.unique(found)


def _closest(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each of `wanted` (F,) the closest of `places` (S,), which rise."""
    after = np.clip(np.searchsorted(places, wanted), 1, max(len(places) - 1, 1))
    left, right = places[after - 1], places[np.minimum(after, len(places) - 1)]
    return np.where(wanted - left <= right - wanted, left, right)


def _with_keys(chosen: np.ndarray, keys: np.ndarray) -> Iterator[tuple[int, int]]:
    for stamp in chosen.tolist():
        before = keys[keys <= stamp]
        yield int(before[-1]) if len(before) else stamp, stamp


def cut(path: str | Path, chosen: Sequence[Sequence[int]], min_side: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The first of the frames chosen, as many as fit an answer; all of one size.

    Args:
        path: of the file.
        chosen: what is left of `Clip.chosen`.
        min_side: least width and height in pixels.

    Returns:
        for each frame its `place` in `chosen`, its `stamp` and `notes`; and the frames one below the other,
        (F * H, W, 3) uint8.

    Raises:
        ImageError: none can be decoded.
    """
    facts: list[dict[str, Any]] = []
    frames: list[np.ndarray] = []
    end = time.process_time() + SECONDS
    with _opened(load_file(Path(path))) as (container, stream):
        for place, frame in _decoded(container, stream, chosen, end):
            pixels = _upright(frame)
            check_size(pixels.shape[1], pixels.shape[0], min_side, "video")
            if frames and pixels.shape != frames[0].shape:
                break
            frames.append(pixels)
            notes = [HDR] if int(frame.color_trc) in _HDR_CURVES else []
            facts.append({"place": place, "stamp": _stamp(frame), "notes": notes})
            if (len(frames) + 1) * pixels.shape[0] * pixels.shape[1] > AT_ONCE:
                break
    if not frames:
        raise ImageError(SLOW if time.process_time() > end else DAMAGED)
    return facts, np.concatenate(frames)


def _decoded(
    container: InputContainer, stream: VideoStream, chosen: Sequence[Sequence[int]], end: float
) -> Iterator[tuple[int, VideoFrame]]:
    """Each frame chosen with its place, until the processor time is over; a damaged part is passed over."""
    at: int | None = None
    frames: Iterator[VideoFrame] = iter(())
    for place, (key, wanted) in enumerate(chosen):
        if at is None or key > at:
            with suppress(_errors()):  # without an index it goes on from where it is
                container.seek(key, stream=stream)
            frames = _frames(container, stream, end)
        elif wanted <= at:
            continue
        for frame in frames:
            at = _stamp(frame)
            if at >= wanted:
                yield place, frame
                break


def _frames(container: InputContainer, stream: VideoStream, end: float) -> Iterator[VideoFrame]:
    """Frames from here on, less those that can't be decoded whole."""
    packets = container.demux(stream)
    while time.process_time() < end:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except _errors():
            continue
        yield from (frame for frame in frames if _stamp(frame) is not None and not frame.is_corrupt)


def _stamp(frame: VideoFrame) -> int | None:
    return frame.dts if frame.pts is None else frame.pts


def _upright(frame: VideoFrame) -> np.ndarray:
    """A frame in sRGB's range as it is to be seen, (H, W, 3) uint8; the file says how far to turn it."""
    check_size(frame.width, frame.height, 1, "video")
    matrix = int(frame.colorspace)
    if matrix == _UNKNOWN:
        matrix = _BT709 if frame.height >= _LEAST_HD else _BT601
    known = {} if frame.format.is_rgb else {"src_colorspace": matrix}
    pixels = frame.reformat(format="rgb24", interpolation=_WITH_CARE, threads=1, **known).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _stamps(container: InputContainer, stream: VideoStream) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of all frames (S,) and of those that were compressed on their own (K,), both rising."""
    stamps, keys = [], []
    packets = container.demux(stream)
    for packet in _until_damaged(packets):
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.is_discard or abs(stamp) > _FARTHEST:
            continue
        if packet.has_sidedata("encryption_info"):
            raise ImageError(ENCRYPTED)
        stamps.append(stamp)
        if packet.is_keyframe:
            keys.append(stamp)
        if len(stamps) > MAX_PACKETS:
            raise ImageError(TOO_MANY)
    if not stamps:
        raise ImageError(DAMAGED)
    return np.unique(np.array(stamps, np.int64)), np.unique(np.array(keys, np.int64))


def _until_damaged(packets: Iterator[Packet]) -> Iterator[Packet]:
    with suppress(_errors()):
        yield from packets


def _said(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the file says that its frames last, in seconds."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / 1e6 if alone else None


def _errors() -> type[Exception]:
    """What FFmpeg raises; it is loaded when the first video is read."""
    from av import FFmpegError

    return FFmpegError


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream, ready to decode.

    Raises:
        ImageError: there is none, or whatever goes wrong while it is read; one sentence.
    """
    import av

    kind = video_kind(data[:HEAD])
    if kind is None:
        raise ImageError(NO_VIDEO)
    fences = {"codec_whitelist": ",".join(CODECS), "protocol_whitelist": ""}
    with Decoding(DAMAGED), io.BytesIO(data) as file:
        with av.open(file, format=_DEMUXERS[kind], container_options=fences, io_open=_refuse) as container:
            cover = av.stream.Disposition.attached_pic
            streams = [stream for stream in container.streams.video if not stream.disposition & cover]
            if not streams:
                raise ImageError(NO_STREAM)
            decoder = streams[0].codec_context
            if decoder is None or decoder.codec.name not in CODECS:
                raise ImageError(CODEC.format("an unknown codec" if decoder is None else decoder.codec.canonical_name))
            decoder.thread_count = 1
            decoder.options = {"max_pixels": str(MAX_PIXELS), "codec_whitelist": ",".join(CODECS)}
            yield container, streams[0]


def _refuse(*_: object) -> None:
    raise OSError("a video may name no other file")
