"""Which certificates a registry is trusted by, and which are shown to it: Docker's folders too."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from lamina.core.errors import HostError


def folders(host: str) -> list[Path]:
    """The folders in which Docker too looks for certificates for a registry."""
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (Path("/etc/docker/certs.d"), own / "docker" / "certs.d")
    return [place / host for place in places if (place / host).is_dir()]


def trust(host: str, ca: Path | None, *, show: bool) -> ssl.SSLContext:
    """How TLS is spoken with a registry; raises HostError for a certificate that is none.

    `show`: with our own certificates, which are for the registry itself alone.
    """
    usual = os.environ.get("SSL_CERT_FILE") or None
    places = folders(host)
    own = [ca] if ca is not None else []
    own += [file for place in places for file in sorted(place.glob("*.crt"))]
    shown = [file for place in places for file in sorted(place.glob("*.cert")) if show]
    named = ", ".join(map(str, [*own, *shown, *([usual] if usual else [])]))
    try:
        context = ssl.create_default_context(cafile=usual)
        for file in own:
            context.load_verify_locations(file)
        for file in shown:
            context.load_cert_chain(file, file.with_suffix(".key"))
    except (OSError, ssl.SSLError) as error:
        raise HostError(f"cannot use the certificates `{named}`: {error}") from error
    return context


def is_distrust(error: BaseException | None) -> bool:
    """Whether a connection failed for want of trust."""
    said = str(error)
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return "CERTIFICATE_VERIFY_FAILED" in said


def is_without_tls(error: BaseException) -> bool:
    """Whether TLS met a server that speaks something else."""
    return any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"))
