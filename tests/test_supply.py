"""What the program is made of: nothing that runs code from a file, versions with bounds, a whole lock, no secrets."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import ExifTags, Image
from tree import ROOT, arguments, requirements, tracked

SHIPPED = [ROOT / "app.py", *sorted((ROOT / "mdmf_app").rglob("*.py")), *sorted((ROOT / "mdmf_core").rglob("*.py"))]
LOCKED_FOR = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "extra": ""}
PICKLES = {"mdmf_core/run/engine.py", "mdmf_core/run/workers.py"}  # between processes of our own, never from a file
CUDA = re.compile(r"triton|nvidia-.*|cuda-.*")  # what PyTorch for CPUs does without
SECRETS = {
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token of the Hub": rb"\bhf_[A-Za-z0-9]{30,}",
    "a token of a forge": rb"\b(gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{20,}",
    "a cloud's key": rb"\b(AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|sk-[A-Za-z0-9_-]{32,})",
    "a password": rb"(?i)\b(password|passwd|secret_key|api_key)\s*[=:]\s*['\"][^'\"\s{$]{6,}['\"]",
    "a password in an address": rb"://[^/\s:@'\"<>{}]+:[^/\s:@'\"<>{}]+@[a-z0-9]",
    "an e-mail address": rb"(?i)\b[a-z0-9._%+-]{2,}@[a-z0-9-]+\.(com|org|net|edu|io|de|ai|uk)\b",
    "somebody's folder": rb"(/home/|/Users/|C:\\\\Users\\\\)(?!app\b)[a-z]{2,}",
}
PERSONAL = {"Artist", "Copyright", "CameraOwnerName", "BodySerialNumber", "LensSerialNumber", "XPAuthor", "UserComment"}


def name_of(node: ast.expr) -> str:
    """`torch.load` of a call of that function."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def dangers(source: str) -> list[str]:
    """Calls that may run what a file or a user says."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = name_of(call.func)
        given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        if name in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "marshal.loads"):
            found.append(name)
        if re.fullmatch(r"(pickle|cloudpickle|dill|joblib|shelve)\.(loads?|open|Unpickler)", name):
            found.append("pickle")
        if name == "torch.load" and given.get("weights_only") is not True:
            found.append("torch.load")
        found += [word for word in ("shell", "allow_pickle", "trust_remote_code") if given.get(word)]
    return found


def test_nothing_that_ships_runs_what_a_file_says():
    for path in SHIPPED:
        name = path.relative_to(ROOT).as_posix()
        allowed = {"pickle"} if name in PICKLES else set()
        assert set(dangers(path.read_text("utf-8"))) == allowed, name


@pytest.mark.parametrize(
    "line",
    ["eval(x)", "pickle.load(f)", "torch.load(f)", "torch.load(f, weights_only=False)", "yaml.load(f)"]
    + ["subprocess.run(x, shell=True)", "np.load(f, allow_pickle=True)", "AutoModel.x(y, trust_remote_code=True)"],
)
def test_such_a_call_would_be_found(line):
    assert dangers(line) and not dangers("torch.load(f, weights_only=True); yaml.safe_load(f); safe_open(f)")


def test_every_exception_to_a_rule_of_safety_says_why():
    marked = 0
    for path in [*SHIPPED, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / ".ci").glob("*.py"))]:
        for line in path.read_text("utf-8").splitlines():
            if re.search(r"#\s*(noqa: S|nosec)", line):
                marked += 1
                assert re.search(r"# noqa: S\d{3}  # \w.{8,}$", line), f"{path.name}: {line}"
    assert marked >= 10


# Versions


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-scale.txt", "requirements-dev.txt"])
def test_every_requirement_has_two_ends(name):
    for one in requirements(name).values():
        signs = {bound.operator for bound in one.specifier}
        assert signs & {"<", "<=", "==", "~="} and signs & {">=", "==", "~="}, str(one)


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    """Name and version of every package of the lock."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        head, *hashes = block.replace("\\\n", " ").split()
        name, version = head.split("==")
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
        found[name] = version
    assert len(found) == len(blocks) > 50
    return found


@pytest.fixture(scope="module")
def installed(lock) -> dict[str, str]:
    """The lock, and PyTorch as the Dockerfile names it."""
    return lock | dict(re.findall(r"(torch|torchvision)==([\d.]+)", " ".join(arguments("RUN"))))


def test_the_lock_satisfies_the_requirements(installed):
    for name, one in requirements("requirements.txt").items():
        assert installed[name] in one.specifier, str(one)


def test_the_lock_has_what_its_packages_need(installed):
    """By the metadata of those that are installed here in the same version; `.ci/lock.py --check` asks PyPI for all."""
    checked = 0
    for name, version in installed.items():
        try:
            if importlib.metadata.version(name) != version:
                continue
        except importlib.metadata.PackageNotFoundError:
            continue
        checked += 1
        for needed in map(Requirement, importlib.metadata.requires(name) or ()):
            own = re.sub(r"[-_.]+", "-", needed.name).lower()
            if not CUDA.fullmatch(own) and (needed.marker is None or needed.marker.evaluate(LOCKED_FOR)):
                assert installed.get(own, "missing") in needed.specifier, f"{name} needs {needed}"
    assert checked >= 10


def test_the_container_takes_the_lock_by_its_hashes_and_nothing_else():
    ran = arguments("RUN")[0]
    first, second = re.findall(r"pip install .*?(?= &&)", ran)
    assert "--no-deps" in first and "whl/cpu" in first and first.count("==") == 2
    assert "--require-hashes" in second and "--only-binary :all:" in second and "requirements.lock" in second
    assert "pip check" in ran


# The repository


def suspicious(data: bytes) -> list[str]:
    return [what for what, pattern in SECRETS.items() if re.search(pattern, data)]


def test_no_secret_and_no_personal_data_in_any_file():
    own = Path(__file__).relative_to(ROOT).as_posix()
    found = {name: suspicious((ROOT / name).read_bytes()) for name in tracked() if name != own}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "secret",
    [b"-----BEGIN EC PRIVATE KEY-----", b"hf_" + b"aB1" * 12, b"ghp_" + b"a1" * 18, b"AKIA" + b"A1" * 8]
    + [b"password = 'hunter2hunter2'", b"https://me:word@host", b"somebody@example.com", b"/home/somebody/x"],
)
def test_such_a_thing_would_be_found(secret):
    assert suspicious(b"x = " + secret + b"\n")


@pytest.mark.parametrize("name", [name for name in tracked() if name.endswith((".jpg", ".png", ".webp"))])
def test_no_picture_says_where_or_by_whom_it_was_taken(name):
    with Image.open(ROOT / name) as image:
        exif = image.getexif()
        tags = {ExifTags.TAGS.get(tag, tag) for tag in (*exif, *exif.get_ifd(ExifTags.IFD.Exif))}
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo) and not tags & PERSONAL
        assert b"exif:GPS" not in (ROOT / name).read_bytes()
