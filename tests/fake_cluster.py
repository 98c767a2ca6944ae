"""A Ray dashboard that only pretends: what the client asks of one, and connections that drop.

What it answers is what Ray 2.60 was seen to answer; `tests/integration/test_client.py` asks the
real one the same things.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NODE = "a87f"


@dataclass
class FakeCluster:
    """What the cluster has and does.

    Attributes:
        token: that it asks for; None: none.
        starts_as: the status that a submitted job gets at once.
        stops_as: that of a job which is asked to stop; None: it takes no notice.
        drops: for each part of a path, how many requests are left without an answer, and whether
            they are heard all the same.
        node_gone: whether the files of its only node are out of reach.
        torn: parts of paths whose next answer breaks off within its headers.
        broken: bytes after which a log's stream breaks, once each.
        requests: every request that was heard: method and path.
        gone: set when it serves nobody any more; streams end.
    """

    token: str | None = None
    ray_version: str = "2.60.0"
    starts_as: str = "RUNNING"
    stops_as: str | None = "STOPPED"
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    drops: dict[str, list[bool]] = field(default_factory=dict)
    node_gone: bool = False
    torn: list[str] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    gone: threading.Event = field(default_factory=threading.Event)

    def add_job(self, body: dict[str, Any], status: str, **more: Any) -> None:
        """A job as the dashboard tells of it."""
        self.jobs[body["submission_id"]] = {
            "type": "SUBMISSION",
            "job_id": None,
            "submission_id": body["submission_id"],
            "status": status,
            "message": "",
            "metadata": body["metadata"],
            "runtime_env": body["runtime_env"],
            "entrypoint": body["entrypoint"],
            "start_time": 1_795_341_000_000,
            "end_time": None,
            "driver_node_id": None if status == "PENDING" else NODE,
            **more,
        }

    def end(self, status: str, message: str = "") -> None:
        """Every job ends."""
        for job in self.jobs.values():
            job |= {"status": status, "message": message, "end_time": 1_795_341_060_000}


@contextmanager
def serving(cluster: FakeCluster) -> Iterator[FakeCluster]:
    """The cluster on a port of its own, while the block runs."""

    class Handler(_Handler):
        fake = cluster

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    cluster.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cluster
    finally:
        cluster.gone.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeCluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        drop = next((d for part, d in self.fake.drops.items() if part in self.path and d), None)
        heard = drop.pop(0) if drop else True
        if heard:
            self.fake.requests.append((self.command, self.path))
            self.fake.headers.append(dict(self.headers))
            status, content = self._answer(body)
        if drop is not None or not heard:
            self.close_connection = True
            return
        if content is None:
            return
        torn = next((part for part in self.fake.torn if part in self.path), None)
        if torn is not None:
            self.fake.torn.remove(torn)
            self.wfile.write(f"HTTP/1.1 {status} OK\r\nContent-Le".encode())
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, body: bytes) -> tuple[int, bytes | None]:
        given, wanted = self.headers.get("Authorization"), self.fake.token
        if wanted is not None and given is None:
            return 401, b"Unauthorized: Missing authentication token"
        if wanted is not None and given != f"Bearer {wanted}":
            return 403, b"Forbidden: Invalid authentication token"
        if urlsplit(self.path).path.startswith("/api/v0/"):
            return self._state()
        return self._jobs(body)

    def _jobs(self, body: bytes) -> tuple[int, bytes | None]:
        fake, parts = self.fake, urlsplit(self.path)
        match self.command, parts.path.strip("/").split("/"):
            case "GET", ["api", "version"]:
                return 200, _json({"version": "4", "ray_version": fake.ray_version})
            case "GET", ["api", "jobs"]:
                return 200, _json(list(fake.jobs.values()))
            case "GET", ["api", "jobs", identity]:
                found = fake.jobs.get(identity)
                return (200, _json(found)) if found else (404, b"Job does not exist")
            case "POST", ["api", "jobs"]:
                return self._submit(json.loads(body))
            case "POST", ["api", "jobs", identity, "stop"]:
                if fake.stops_as is not None:
                    fake.jobs[identity]["status"] = fake.stops_as
                return 200, _json({"stopped": True})
            case "GET", ["api", "packages", "gcs", name]:
                return (200 if name in fake.packages else 404), b""
            case "PUT", ["api", "packages", "gcs", name]:
                fake.packages[name] = body
                return 200, b""
        return 404, b"404: Not Found"

    def _state(self) -> tuple[int, bytes | None]:
        parts = urlsplit(self.path)
        if parts.path == "/api/v0/nodes":
            alive = {"state": "ALIVE", "resources_total": {"CPU": 2.0, "GPU": 1.0}}
            dead = {"state": "DEAD", "resources_total": {"CPU": 8.0}}
            return 200, _json({"data": {"result": {"result": [alive, dead]}}})
        if self.fake.node_gone:
            return 500, f"Agent for node id: {NODE} doesn't exist.".encode()
        name = parse_qs(parts.query)["filename"][0]
        if name not in self.fake.files:
            return 500, f"A file is not found at: /tmp/ray/session/logs/{name}".encode()
        if parts.path.endswith("/stream"):
            return 200, self._stream(name)
        return 200, self.fake.files[name]

    def _submit(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if body["submission_id"] in self.fake.jobs:
            told = f"ValueError: Job with submission_id {body['submission_id']} already exists."
            return 400, told.encode()
        self.fake.add_job(body, self.fake.starts_as)
        return 200, _json({"job_id": None, "submission_id": body["submission_id"]})

    def _stream(self, name: str) -> None:
        """A file in chunks, and what is added to it; breaks where it is told to."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = self.fake.broken.pop(0) if self.fake.broken else None
        place = 0
        try:
            while not self.fake.gone.wait(0.01) and (end is None or place < end):
                fresh = self.fake.files[name][place:end]
                if fresh:
                    self.wfile.write(f"{len(fresh):x}\r\n".encode() + fresh + b"\r\n")
                    place += len(fresh)
        except OSError:  # the client has let go
            pass
        self.close_connection = True


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
