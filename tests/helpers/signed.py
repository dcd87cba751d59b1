"""Signed pictures (C2PA): an authority of the tests, and what it signs."""

from __future__ import annotations

import datetime
import io
import json

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from recorded import IPTC


def authority(
    start: datetime.datetime, end: datetime.datetime, usage: str = "1.3.6.1.5.5.7.3.4"
) -> tuple[bytes, bytes, bytes]:
    """A signer's certificates, its key, and the certificate of the authority behind it, all PEM."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, issuer: str, public, is_authority: bool, *extensions) -> x509.Certificate:
        def named(text):
            organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)
            return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, f"{text} unit")])

        usage = [not is_authority] + 4 * [False] + 2 * [is_authority] + 2 * [False]
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(named(issuer), named(subject), public, number, start, end)
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(*usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(root_key, hashes.SHA256())

    root = certificate("Test authority", "Test authority", root_key.public_key(), True)
    leaf = certificate(
        "Example <b>Pictures</b>",
        "Test authority",
        key.public_key(),
        False,
        x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage)]),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
    )
    root_pem, leaf_pem = (item.public_bytes(serialization.Encoding.PEM) for item in (root, leaf))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return leaf_pem + root_pem, private, root_pem


def signed(
    data: bytes,
    mime: str,
    certificates: bytes,
    key: bytes,
    source_type: str,
    elsewhere: str = "",
    agent: str = "Model 3",
) -> bytes:
    action = {"action": "c2pa.created", "softwareAgent": {"name": agent}, "digitalSourceType": IPTC + source_type}
    manifest = {
        "claim_generator_info": [{"name": "mdmf tests"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    settings = {"verify": {"verify_after_sign": False, "verify_trust": False}}
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", certificates, key, None))
    file = io.BytesIO()
    with c2pa.Builder(json.dumps(manifest), context=c2pa.Context.from_dict(settings)) as builder:
        if elsewhere:
            builder.set_no_embed()
            builder.set_remote_url(elsewhere)
        builder.sign(signer, mime, io.BytesIO(data), file)
    return file.getvalue()


def lasting(seconds: float, **options) -> tuple[bytes, bytes, bytes]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return authority(now - datetime.timedelta(days=1), now + datetime.timedelta(seconds=seconds), **options)
