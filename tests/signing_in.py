"""What an administrator hands out: certificates of a private authority, nkeys, credentials files."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import nkeys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)
_NOW = dt.datetime.now(dt.UTC)
_KINDS = {"operator": nkeys.PREFIX_BYTE_OPERATOR, "account": nkeys.PREFIX_BYTE_ACCOUNT, "user": nkeys.PREFIX_BYTE_USER}


class Certificates(NamedTuple):
    """Files of one private authority: its own certificate, the server's and a client's with their keys."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir(parents=True, exist_ok=True)
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Private CA", authority, None, None)
    files = [_written(folder / "ca.pem", root.public_bytes(serialization.Encoding.PEM))]
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        one = _certificate(name, key, root, authority)
        files.append(_written(folder / f"{name}.pem", one.public_bytes(serialization.Encoding.PEM)))
        files.append(_written(folder / f"{name}.key", _pem(key)))
    return Certificates(*files)


def encrypted_key(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    return _written(folder / "encrypted.key", _pem(key, serialization.BestAvailableEncryption(b"secret")))


def make_seed(kind: str = "user") -> tuple[str, str]:
    """A new nkey: its seed and its public name."""
    seed = nkeys.encode_seed(secrets.token_bytes(32), _KINDS[kind])
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


def make_operator(folder: Path) -> tuple[str, Path]:
    """Server configuration of an operator with one account that has JetStream; the credentials file of its user."""
    seeds = {kind: make_seed(kind) for kind in _KINDS}
    (operator_seed, operator), (account_seed, account), (user_seed, user) = seeds.values()
    system_seed, system = make_seed("account")
    del system_seed
    limits = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    every = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
    tokens = {
        account: _token(operator_seed, operator, account, "team", {"type": "account", "limits": every | limits}),
        system: _token(operator_seed, operator, system, "SYS", {"type": "account", "limits": every}),
    }
    claims: dict[str, Any] = {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
    user_token = _token(account_seed, account, user, "step", claims)
    operator_claims = {"type": "operator", "system_account": system}
    preload = "\n".join(f"{name}: {token}" for name, token in tokens.items())
    config = (
        f"operator: {_token(operator_seed, operator, operator, 'operator', operator_claims)}\n"
        f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    )
    text = (
        f"-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
    )
    return config, _written(folder / "user.creds", text.encode())


def _token(seed: str, issuer: str, subject: str, name: str, nats: dict[str, Any]) -> str:
    """A JWT as nats-io/jwt version 2 has it."""
    claims: dict[str, Any] = {"iat": int(_NOW.timestamp()), "iss": issuer, "sub": subject, "name": name}
    claims["nats"] = nats | {"version": 2}
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
    signed = (
        f"{_base64(json.dumps({'typ': 'JWT', 'alg': 'ed25519-nkey'}).encode())}.{_base64(json.dumps(claims).encode())}"
    )
    return f"{signed}.{_base64(nkeys.from_seed(bytearray(seed.encode())).sign(signed.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + _DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
    )
    return builder.sign(issuer_key or key, hashes.SHA256())


def _pem(
    key: ec.EllipticCurvePrivateKey,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
