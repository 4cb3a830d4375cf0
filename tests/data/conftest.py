"""A local server that misbehaves on request, and two small records in the format of PhysioNet."""

import hashlib
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_scripts.manifest import RemoteFile


class Server(ThreadingHTTPServer):
    """Serves ``files``. ``script[name]`` lists what to do for the next requests of a file; after that all goes well.

    An action is a status code, or a word, or a word and a number of bytes: see ``Handler.do_GET``.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list] = {}
        self.always: dict[str, object] = {}
        #: The ``Content-Encoding`` that a file is marked with, and how it is packed for the way (None: as it is).
        self.coding: dict[str, tuple[str, Callable[[bytes], bytes] | None]] = {}
        self.chunked: set[str] = set()
        self.headers: dict[str, dict[str, str]] = {}  # headers said otherwise; an empty text leaves one out
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0
        self.release = threading.Event()  # lets go of stalled requests when the test is over
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def ranges(self, name: str) -> list[str | None]:
        return [asked for requested, asked in self.requests if requested == name]

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, name = self.server, self.path.lstrip("/")
        with server.lock:
            server.requests.append((name, self.headers.get("Range")))
            queue = server.script.get(name, [])
            action = queue.pop(0) if queue else server.always.get(name, "ok")
        word, count = action if isinstance(action, tuple) else (action, 0)
        if isinstance(word, int) or name not in server.files:
            return self.refuse(word if isinstance(word, int) else 404, count)
        coding, packed = server.coding.get(name, ("", None))
        body, start = packed(server.files[name]) if packed else server.files[name], 0
        asked = self.headers.get("Range")
        if asked and word not in ("ignores-range", "page"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.refuse(416, 0)
        if word == "page":
            body = b"<html>please log in</html>"
        elif word == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:-1] + bytes([body[-1] ^ 1])
        elif word == "longer":
            body = body + b"0123456789"
        elif word == "shorter":
            body = body[:-10]
        piece = body[start:]
        self.send_response(206 if start else 200)
        if word == "other-range":
            piece = body
        headers = {"Content-Encoding": coding}
        if start:
            first = 0 if word == "other-range" else start
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        if name in server.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(piece) + (10 if word == "overstates" else 0))
        for header, value in (headers | server.headers.get(name, {})).items():
            if value:
                self.send_header(header, value)
        self.end_headers()
        if word in ("cut", "stall"):
            piece = piece[:count]
        if name in server.chunked:
            for at in range(0, len(piece), 10_000):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece[at : at + 10_000]), piece[at : at + 10_000]))
            self.wfile.write(b"" if word in ("cut", "stall") else b"0\r\n\r\n")
        else:
            self.wfile.write(piece)
        self.wfile.flush()
        server.sent += len(piece)
        if word == "stall":
            server.release.wait(20)
        if word in ("cut", "stall", "overstates"):
            self.close_connection = True

    def refuse(self, status: int, retry_after: int | str):
        self.send_response(status)
        if retry_after:
            self.send_header("Location" if 300 <= status < 400 else "Retry-After", str(retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def remote(name: str, content: bytes) -> RemoteFile:
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="session")
def content() -> bytes:
    return np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def file(server, content) -> RemoteFile:
    server.files["signal.dat"] = content
    return remote("signal.dat", content)


SAMPLES = 648_000  # half an hour at 360 Hz, the least a record may have


@pytest.fixture(scope="session")
def records(tmp_path_factory) -> Path:
    """Records 100 (a test patient; its leads are V5, MLII) and 101 (a training patient), written with wfdb."""
    import wfdb

    folder = tmp_path_factory.mktemp("records")
    time = np.arange(SAMPLES) / 360
    slow = 200 * np.sin(2 * np.pi * time)  # 1 Hz, 1 mV: 200 steps
    flat = np.zeros(SAMPLES)
    for record, leads, signal in [("100", ["V5", "MLII"], [flat, slow]), ("101", ["MLII", "V1"], [slow, flat + 50])]:
        wfdb.wrsamp(
            record,
            fs=360,
            units=["mV", "mV"],
            sig_name=leads,
            d_signal=np.rint(np.stack(signal, axis=1)).astype(int),
            fmt=["212", "212"],
            adc_gain=[200, 200],
            baseline=[0, 0],
            write_dir=str(folder),
        )
        sample = np.array([18, 100, 4000, 7200, 7300, 14_399, 14_400])
        wfdb.wrann(
            record,
            "atr",
            sample,
            symbol=["+", "N", "V", "+", "A", "/", "+"],
            aux_note=["(N", "", "", "(AFIB", "", "", "(N"],
            write_dir=str(folder),
        )
    return folder


@pytest.fixture
def small_manifest(tmp_path, server, records) -> Path:
    """A manifest whose set ``mitbih`` is the two small records, on the local server."""
    lines = [
        "[mitbih]",
        'title = "Two small records"',
        'homepage = "http://home.invalid/"',
        f'urls = ["{server.url}"]',
        'licence = "a licence"',
        'licence_url = "http://licence.invalid/"',
        'citation = ["somebody, somewhere"]',
        f'arrays_sha256 = "{_digest(records)}"',
        "[mitbih.files]",
    ]
    for path in sorted(records.iterdir()):
        server.files[path.name] = path.read_bytes()
        entry = remote(path.name, server.files[path.name])
        lines.append(f'"{entry.name}" = {{ size = {entry.size}, sha256 = "{entry.sha256}" }}')
    manifest = tmp_path / "manifest.toml"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    return manifest


_digests: dict[Path, str] = {}


def _digest(records: Path) -> str:
    from data_scripts.build import arrays_digest
    from data_scripts.mitbih import prepare

    if records not in _digests:
        _digests[records] = arrays_digest(prepare(records, os.listdir(records)))
    return _digests[records]
