"""Tables in Markdown of what `held_out.py` found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.quality.held_out_figures import ALPHA, FAMILIES, LEAST, MANY

MEANS = {"average": f"generators of at least {LEAST} pictures", "rest": "the rest, pooled", "pooled": "all, pooled"}


def line(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def head(*cells: object) -> list[str]:
    return [line(*cells), "|---|" + "---:|" * (len(cells) - 1)]


def shown(value: Any) -> str:
    """A figure with its interval, a share, a number, or a dash."""
    if isinstance(value, dict):
        value = [value["share"], *value["interval"]]
    if isinstance(value, list):
        ends = "" if None in value[1:] else " [{:.2f}, {:.2f}]".format(*value[1:])
        return shown(value[0]) + (ends if value[0] is not None else "")
    return "-" if value is None else f"{value:.3f}"


def across(conditions: dict[str, dict], name: str, *path: str, after: tuple = ()) -> str:
    """A row with the figure at a path in each condition; `after` are cells after the name."""
    cells = list(after)
    for found in conditions.values():
        value: Any = found
        for step in path:
            value = (value or {}).get(step)
        cells.append(shown(value))
    return line(name, *cells)


def summary_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("", *conditions)
    for key, what in MEANS.items():
        yield across(conditions, f"AUROC, {what}", "auroc", key)
    for key, what in MEANS.items():
        yield across(conditions, f"found at p <= {ALPHA}, {what}", "tpr", key)
    yield across(conditions, "found at the photographs' own 95% point, all, pooled", "found_at_own_point")
    yield across(conditions, "false alarms, photographs", "false_alarms", "pictures")
    yield across(conditions, "false alarms, mean over sources of photographs", "false_alarms", "mean")
    for kind in ("photographs", "art", "generated"):
        yield across(conditions, f"can't be judged, {kind}", "refused", kind)
    for key, what in MEANS.items():
        yield across(conditions, f"AUROC against genuine art, {what}", "art", "auroc", key)
    yield across(conditions, "false alarms, genuine art", "art", "false_alarms", "pictures")
    yield across(conditions, "false alarms, mean over sources of genuine art", "art", "false_alarms", "mean")
    yield across(conditions, "AUROC, named pairs of like subject", "pairs", "auroc")
    yield across(conditions, "matched pairs, generated one higher", "matched", "higher")
    yield across(conditions, "the same, the closer half", "matched", "higher_of_the_closer_half")
    yield across(conditions, "the same, mean over generators", "matched", "mean_over_generators")


def family_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("family", "n", *(f"{name}, {what}" for what in ("AUROC", "found") for name in conditions))
    for name in FAMILIES:
        for key, suffix in (("average", ""), ("pooled", ", pooled")):
            own = [found["families"][name] for found in conditions.values()]
            figures = [shown(one[what][key]) for what in ("auroc", "tpr") for one in own]
            yield line(name + suffix, own[0]["n"], *figures)


def generator_table(conditions: dict[str, dict]) -> Iterator[str]:
    columns = [f"{name}, {what}" for what in ("AUROC", "found", "AUROC against art") for name in conditions]
    yield from head("generator", "family", "n", *columns)
    for name in names(conditions, "generators"):
        own = [found["generators"].get(name, {}) for found in conditions.values()]
        first = next(one for one in own if one)
        figures = [shown(one.get(what)) for what in ("auroc", "tpr", "art") for one in own]
        yield line(name, first["family"], first["n"], *figures)


def real_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("real source", "n", *conditions)
    for name in names(conditions, "real"):
        first = next(found["real"][name] for found in conditions.values() if name in found["real"])
        title = f"{name} (art)" if first["art"] else name
        yield across(conditions, title, "real", name, "false_alarms", after=(first["n"],))


def pair_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("subject", "real", "generated", *conditions)
    each = [
        {(pair["subject"], pair["real"], pair["generated"]): pair["auroc"] for pair in found["pairs"]["each"]}
        for found in conditions.values()
    ]
    for pair in dict.fromkeys(pair for own in each for pair in own):
        yield line(*pair, *(shown(own.get(pair)) for own in each))


def names(conditions: dict[str, dict], part: str) -> list[str]:
    return list(dict.fromkeys(name for found in conditions.values() for name in found[part]))


def markdown(result: dict[str, Any]) -> str:
    """The tables for people."""
    conditions = result["conditions"]
    first = next(iter(conditions.values()))
    generated, photographs, art = first["generated"], first["false_alarms"], first["art"]["false_alarms"]
    lines = [
        f"Detector {result['model']}, fingerprint {result['fingerprint'][:12]}; {result['date']}, "
        f"seed {result['seed']}. Held-out sources: {generated['n']} generated pictures of "
        f"{generated['sources']}, {photographs['n']} photographs of "
        f"{photographs['sources']}, {art['n']} pictures of genuine art, of {art['sources']}. "
        f"In brackets 95% intervals, by bootstrap over sources ({result['draws']} draws).",
        "",
    ]
    for name, found in conditions.items():
        if found["failures"]:
            lines += [f"`{name}`: {found['failures']} of {found['pictures']} pictures could not be scored.", ""]
    lines += [*summary_table(conditions), ""]
    for name, found in conditions.items():
        lines.append(f"- `{name}`, false alarms above {MANY}: {', '.join(found['above']) or 'none'}")
    for table in (family_table, generator_table, real_table, pair_table):
        lines += ["", *table(conditions)]
    return "\n".join(lines) + "\n"
