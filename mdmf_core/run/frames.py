"""Videos among pictures: up to 32 frames of each, one row a frame, and never an answer for the video.

    items = expanded(gather(paths, folder))
    rows = batch.adjust(list(run(detector, items, 0.05)))

Frames are judged as pictures alone, with one difference: none of them "can be judged", for the reason `UNJUDGED`. They
have no decision, no likelihood ratio and no q-value, since what these rest on was measured with photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.evidence import NOT_JUDGED, Evidence, ModelFacts
from mdmf_core.images import clip as clips
from mdmf_core.images import isolated
from mdmf_core.images.archive import Item
from mdmf_core.images.clip import Clip, Frame, clock
from mdmf_core.images.kinds import is_video
from mdmf_core.images.origin import Origin, as_json, opening, origin_of
from mdmf_core.images.reader import Picture, read
from mdmf_core.run import batch
from mdmf_core.run.batch import Row
from mdmf_core.show import maps
from mdmf_core.show.strip import ABOUT, Film, Shot

MOST_VIDEOS = 4  # of one batch
TOO_MANY = f"Only the first {MOST_VIDEOS} videos of a batch are taken; give this one in another batch."
LOST = "This frame could not be decoded, or not in time."
UNJUDGED = "It is a frame of a video: compression removes traces, and there is no calibration for video yet."
NOT_COMPARED = "Frames of a video are not compared with trusted pictures."


@dataclass(frozen=True)
class FrameItem(Item):
    """A frame to analyse: `place` in what was chosen of `clip`, the video `video` at `path`."""

    clip: Clip | None = None
    place: int = 0
    video: str = ""


@dataclass(frozen=True, eq=False)
class FrameRow(Row):
    """The result for one frame: besides a picture's, the video's name and the `seconds` from its first frame."""

    video: str = ""
    seconds: float | None = None

    @property
    def is_frame(self) -> bool:
        return True

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"video": self.video, "seconds": self.seconds, "about": ABOUT}


# Many files


def expanded(items: Iterable[Item], min_side: int = 128) -> list[Item]:
    """The items, with the frames to take in place of a video; a video that can't be used is an item of one sentence."""
    found: list[Item] = []
    videos = 0
    for item in items:
        if item.path is None or not is_video(item.path):
            found.append(item)
            continue
        videos += 1
        found += [replace(item, path=None, error=TOO_MANY)] if videos > MOST_VIDEOS else _frames_of(item, min_side)
    return found


def _frames_of(item: Item, min_side: int) -> list[Item]:
    try:
        clip = clips.look(item.path, min_side)
    except ImageError as error:
        return [replace(item, path=None, error=str(error))]
    times = [(stamp - clip.first) * clip.unit for _, stamp in clip.chosen]
    return [
        FrameItem(f"{item.name} at {clock(seconds)}", item.path, clip=clip, place=place, video=item.name)
        for place, seconds in enumerate(times)
    ]


def run(
    detector: Detector,
    items: Iterable[Item],
    alpha: float,
    read: Callable[[Path, int], Picture] = read,
    declared: Callable[[Path, Picture], Origin] = origin_of,
) -> Iterator[Row]:
    """As `batch.run`, where some items may be frames."""
    for _, group in groupby(items, key=lambda item: id(getattr(item, "clip", None))):
        first, *others = group
        if isinstance(first, FrameItem):
            yield from _rows(detector, [first, *others], alpha)
        else:
            yield from batch.run(detector, [first, *others], alpha, read, declared)


def _rows(detector: Detector, items: Sequence[FrameItem], alpha: float) -> Iterator[Row]:
    """One row for each of a video's frames."""
    path, origin = items[0].path, None
    come = clips.frames(path, items[0].clip, detector.model.geometry.min_side)
    frame = _next(come)
    for item in items:
        if frame is None or frame.place != item.place:
            yield FrameRow(item.name, error=LOST, video=item.video)
            continue
        picture = frame.picture
        origin = origin or isolated.origin_of(path, picture)
        (row,) = batch.run(detector, [item], alpha, lambda *_, seen=picture: seen, lambda *_, said=origin: said)
        yield _unjudged(row, item.video, frame.seconds)
        frame = _next(come)


def _next(come: Iterator[Frame]) -> Frame | None:
    try:
        return next(come, None)
    except ImageError:
        return None


def _unjudged(row: Row, video: str, seconds: float) -> FrameRow:
    found = {field.name: getattr(row, field.name) for field in fields(Row)} | {"video": video, "seconds": seconds}
    if row.error is None:
        ratios = ("likelihood_ratio", "likelihood_ratio_low", "likelihood_ratio_high", "support")
        found |= dict.fromkeys((*ratios, "decision"))
        found |= {"outcome": NOT_JUDGED, "judged": False, "reason": row.reason or UNJUDGED}
    return FrameRow(**found)


def films(rows: Iterable[Row], items: Iterable[Item]) -> list[Film]:
    """The videos of a batch, for `show.strip`; one without a good frame is left out."""
    known = {item.video: item.clip for item in items if isinstance(item, FrameItem)}
    frames = [row for row in rows if row.is_frame and row.error is None]
    return [
        Film(name, told(known[name], len(shots)), known[name].notes, shots)
        for name, group in groupby(frames, key=lambda row: row.video)
        if (shots := [Shot(row.seconds, row.p_value, row.thumbnail) for row in group])
    ]


# One file


@dataclass(frozen=True, eq=False)
class Seen:
    """What was found in one video: its frames in order of time, as `seconds` and evidence."""

    clip: Clip
    frames: Sequence[tuple[float, Evidence]]
    shots: Sequence[Shot]
    origin: Origin
    model: ModelFacts

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know; of the frames' notes each once."""
        of_frames = (note for _, evidence in self.frames for note in evidence.picture.notes)
        lost = len(self.clip.chosen) - len(self.frames)
        few = (f"Of {len(self.clip.chosen):,} frames wanted {lost:,} could not be decoded, or not in time.",)
        return tuple(dict.fromkeys((*self.clip.notes, *of_frames, *(few if lost else ()))))

    @property
    def film(self) -> Film:
        return Film(self.clip.name, told(self.clip, len(self.frames)), self.notes, self.shots)

    def to_dict(self, path: str) -> dict[str, Any]:
        """The JSON contract of `detect` for a video."""
        first, clip = self.frames[0][1], self.clip
        return {
            "path": path,
            "sha256": clip.sha256,
            "width": first.picture.width,
            "height": first.picture.height,
            "video": {
                "format": clip.format,
                "codec": clip.codec,
                "seconds": clip.seconds,
                "n_frames": clip.n_frames,
                "n_chosen": len(clip.chosen),
            },
            "about": ABOUT,
            "statistic": first.verdict.statistic,
            "alpha": first.verdict.alpha,
            "model": self.model.name,
            "revision": self.model.revision,
            "fingerprint": self.model.fingerprint,
            "notes": list(self.notes),
            "origin": as_json(self.origin, NOT_JUDGED),
            "frames": [_of_frame(seconds, evidence) for seconds, evidence in self.frames],
        }

    def lines(self, name: str) -> list[str]:
        """What `detect` says of a video: one line about it, and one for each frame."""
        opened = opening(self.origin, NOT_JUDGED)
        about = [f"{name}: {told(self.clip, len(self.frames))} {ABOUT} origin: {opened}", *self.notes]
        return [" ".join(about)] + [
            f"{name} at {clock(seconds)}: score {evidence.verdict.score:.4f}, p {evidence.verdict.p_value:.4f} among "
            f"photographs, {evidence.n_outlined} of {evidence.n_patches} patches flagged"
            for seconds, evidence in self.frames
        ]


def look_at(
    detector: Detector, path: Path, alpha: float, keep: Callable[[Frame, Evidence], None] | None = None
) -> Seen:
    """Analyse the frames of one video.

    Args:
        detector: judges them.
        path: of the video.
        alpha: a false-alarm rate, as for pictures; nothing is decided by it.
        keep: is called with each frame and its evidence, while its pixels are at hand.

    Raises:
        ImageError: it is no video, or no frame can be decoded.
    """
    clip = clips.look(path, detector.model.geometry.min_side)
    found: list[tuple[float, Evidence]] = []
    shots: list[Shot] = []
    origin = None
    for frame in clips.frames(path, clip, detector.model.geometry.min_side):
        evidence = detector.detect(frame.picture, alpha, locate=False)
        verdict = evidence.verdict
        evidence = replace(evidence, verdict=replace(verdict, reason=verdict.reason or UNJUDGED))
        origin = origin or isolated.origin_of(path, frame.picture)
        small = maps.overlay(frame.picture.pixels, evidence, colorbar=False)
        small.thumbnail((batch.THUMBNAIL, batch.THUMBNAIL))
        found.append((frame.seconds, evidence))
        shots.append(Shot(frame.seconds, verdict.p_value, small))
        if keep is not None:
            keep(frame, evidence)
    return Seen(clip, found, shots, origin, detector.facts)


def told(clip: Clip, n: int) -> str:
    """A video in a line."""
    frames = "frame" if clip.n_frames == 1 else "frames"
    return f"{n:,} of {clip.n_frames:,} {frames}, {clip.format} ({clip.codec}), {clip.seconds:.1f} s."


def _of_frame(seconds: float, evidence: Evidence) -> dict[str, Any]:
    """A picture's keys less those of the file and the model, and less its patches, which would be far too many."""
    file = ("path", "sha256", "statistic", "alpha", "model", "revision", "fingerprint", "patches", "inconsistency")
    found = {name: value for name, value in evidence.to_dict().items() if name not in file}
    flagged = {"n_flagged": evidence.n_outlined, "flagged_share": evidence.n_outlined / evidence.n_patches}
    return {"time": seconds, **found, "decision": None, **flagged}
