"""The kernel's parameters of a research checkpoint: numbers with names, kept in one of several forms.

Sources: kernel and names are those of Liu et al., "Learning Deep Kernels for Non-Parametric Two-Sample Tests" (ICML
2020), whose code keeps `epsilonOPT` (a logit), `sigmaOPT` and `sigma0OPT` (squared before use). With s0 and s from
`sigma0` (on signatures) and `sigma` (on embeddings) by their form, the kernel is

    [(1 - epsilon) exp(-|z - z'|^2 / s0) + epsilon] exp(-|e - e'|^2 / s)

or exp(-|z - z'|^2 / s0) where there is one bandwidth alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

SCALAR = re.compile(
    r"(?:log_|logit_)?(?:(?P<signatures>sigma_?0|s_z)|(?P<embeddings>sigma|s_e)|(?P<epsilon>epsilon|eps|ep))_?(?:opt)?",
    re.IGNORECASE,
)
Forms = dict[str, tuple[str, Callable[[float], float], str]]  # formula, value, and names that are kept in this form
SIGMA: Forms = {
    "plain": ("exp(-d / sigma)", lambda v: v, ""),
    "squared": ("exp(-d / sigma^2)", lambda v: v**2, "(?!log_).*opt"),
    "gaussian": ("exp(-d / (2 sigma^2))", lambda v: 2 * v**2, ""),
    "log": ("exp(-d / exp(sigma))", math.exp, ""),
    "log-squared": ("exp(-d / exp(sigma)^2)", lambda v: math.exp(2 * v), "log_.*"),
}
EPSILON: Forms = {
    "plain": ("epsilon", lambda v: v, ""),
    "sigmoid": ("1 / (1 + exp(-epsilon))", lambda v: 1 / (1 + math.exp(-v)), "logit_.*|(?!log_).*opt"),
    "squared": ("epsilon^2", lambda v: v**2, ""),
    "log": ("exp(epsilon)", math.exp, "log_.*"),
}
ZERO_LOGIT = -100.0  # epsilon 0, whose logit is infinite, becomes 4e-44


def role_of(name: str) -> str | None:
    """Which parameter a name means: "signatures" or "embeddings", whose bandwidth it is, "epsilon", or none."""
    match = SCALAR.fullmatch(name.rpartition(".")[2])
    return match and match.lastgroup


def _formed(name: str, value: float, form: str | None, forms: Forms) -> tuple[float, str]:
    """A parameter by its form: the user's, else that of its name, else plain; and how it was read."""
    if form is None:
        last = name.rpartition(".")[2].lower()
        form = next((known for known, (_, _, named) in forms.items() if re.fullmatch(named, last)), "plain")
    if form not in forms:
        raise ValueError(f"The form of {name} is one of {', '.join(forms)}, not {form!r}.")
    try:
        found = forms[form][1](value)
    except OverflowError as error:
        raise ValueError(f"{name} is {value:g}, which can't be read in the form {form}.") from error
    if forms is SIGMA and not 0 < found < math.inf:
        raise ValueError(f"{name} is {value:g}, no bandwidth in the form {form}; say another --sigma-form.")
    if forms is EPSILON and not 0 <= found < 1:
        raise ValueError(f"{name} is {value:g}, no share in [0, 1) in the form {form}; say another --epsilon-form.")
    return found, f"{name} = {value:g}, read as {form}: {forms[form][0]}"


def kernel(
    scalars: dict[str, tuple[str, float]], sigma_form: str | None, epsilon_form: str | None, say: Callable[[str], None]
) -> dict[str, float]:
    """The kernel's parameters as `PFS` stores them.

    Args:
        scalars: name and value by role, as `role_of` says it.
        sigma_form, epsilon_form: a key of `SIGMA` and of `EPSILON`; None goes by the names.
        say: takes a line on how each was read.

    Raises:
        ValueError: no bandwidth, epsilon without two of them, or a value that its form can't have.
    """
    stored = {}
    if list(scalars) == ["embeddings"]:
        scalars = {"signatures": scalars["embeddings"]}
    if "signatures" not in scalars:
        raise ValueError("The file names no bandwidth of signatures; give it with --set sigma0=VALUE.")
    if "epsilon" in scalars and "embeddings" not in scalars:
        advice = "give it with --set sigma=VALUE, or leave epsilon out with --ignore."
        raise ValueError(
            f"{scalars['epsilon'][0]} mixes two factors, and there is no bandwidth of embeddings; {advice}"
        )
    for role, parameter in (("signatures", "log_s_z"), ("embeddings", "log_s_e")):
        if role in scalars:
            squared, said = _formed(*scalars[role], sigma_form, SIGMA)
            stored[parameter] = 0.5 * math.log(squared)
            say(f"{said} on {role} (--sigma-form)")
    if "log_s_e" not in stored:
        say("kernel: plain, on signatures alone")
        return stored
    epsilon, said = 0.0, "no epsilon: 0, the product of both factors"
    if "epsilon" in scalars:
        epsilon, said = _formed(*scalars["epsilon"], epsilon_form, EPSILON)
        said += f" = {epsilon:.3g} (--epsilon-form)"
    say(said)
    say("kernel: deep, on signatures and on embeddings")
    return stored | {"logit_eps": math.log(epsilon / (1 - epsilon)) if epsilon else ZERO_LOGIT}
