"""A real nginx (Debian's package) in front of a site, with the file that docs/deploy.md gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.postgresql import free_port
from tests.services import until

SITE = REPOSITORY / "deploy/nginx.conf"
# all that a nginx of its own needs around the file: where it writes, and what Debian's own nginx.conf gives it
AROUND = """
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 512; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log {folder}/access.log;
{site}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs."""

    url: str
    folder: Path

    @property
    def asked(self) -> list[str]:
        """Every path that was asked for."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [line.split('"')[1].split(" ")[1] for line in lines]


def program() -> str:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "no nginx: `make nginx` installs it"
    return found


def site_file(upstream: int, listen: str) -> str:
    """deploy/nginx.conf on a free port instead of 443, in front of the port `upstream`, with or without TLS."""
    text = SITE.read_text(encoding="utf-8")
    changes = {"127.0.0.1:8050": f"127.0.0.1:{upstream}", "listen 443 ssl http2;": f"listen {listen};"}
    for old, new in changes.items():
        assert text.count(old) == 1, f"deploy/nginx.conf does not say {old}"
        text = text.replace(old, new)
    return text


@contextmanager
def in_front_of(upstream: int, folder: Path, strips: bool = False, tls: Path | None = None) -> Iterator[Proxy]:
    """nginx before the port `upstream`; `strips`: it cuts the prefix off; `tls`: the folder with cert.pem and key.pem."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    text = site_file(upstream, f"127.0.0.1:{port}{' ssl http2' if tls else ''}")
    lines = text.splitlines()
    if tls is None:
        lines = [line for line in lines if "ssl_certificate" not in line]
    text = "\n".join(lines)
    text = text.replace("/etc/ssl/certs/daq.example.org.pem", f"{tls}/cert.pem")
    text = text.replace("/etc/ssl/private/daq.example.org.key", f"{tls}/key.pem")
    if strips:
        text = text.replace("proxy_pass http://larboard;", "proxy_pass http://larboard/;")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND.format(user=user, folder=folder, site=text), encoding="utf-8")
    (folder / "access.log").touch()
    command = [program(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: process.poll() is not None or (folder / "pid").exists())
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        yield Proxy(f"http{'s' if tls else ''}://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait(10)
        if process.stderr:
            process.stderr.close()
