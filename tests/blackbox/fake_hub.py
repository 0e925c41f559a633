"""A hub on this machine: the endpoints, headers and bad days of a real one.

The hub itself listens on 127.0.0.1 and keeps small files; large ones (`LARGE`) it redirects to a
storage host, which is the same process on 127.0.0.2. Both note every request that they get. Tests
script misbehaviour per path: `hub.misbehave("vae/diff", Status(503), Cut(0.5))` affects the next two
requests for the content of a file whose path contains that text; `at` chooses another stage: "list"
(the list of files), "head" (a file's description) or "resolve" (the redirect to its content)."""

import dataclasses
import functools
import hashlib
import http.server
import json
import ssl
import threading
import urllib.parse

REPO = "black-forest-labs/FLUX.1-dev"
LARGE = (".safetensors", ".model", ".bin", ".msgpack", ".onnx")


def git_blob_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path):
    return path.endswith(LARGE)


@functools.lru_cache(maxsize=None)
def etag_of(path, data):
    return hashlib.sha256(data).hexdigest() if is_large(path) else git_blob_id(data)


# ---- what can go wrong: actions for FakeHub.misbehave ------------------------------------------


@dataclasses.dataclass
class Status:
    """Answer with this status and an empty body."""

    status: int
    headers: dict = dataclasses.field(default_factory=dict)
    at: str = "content"


@dataclasses.dataclass
class Cut:
    """Send this share of what was asked for, then close the connection."""

    share: float
    at: str = "content"


@dataclasses.dataclass
class Hold:
    """Send this share, then wait until the test sets the event (or the client leaves)."""

    share: float
    event: threading.Event = dataclasses.field(default_factory=threading.Event)
    at: str = "content"


@dataclasses.dataclass
class Flip:
    """Flip the bits of one byte."""

    byte: int
    at: str = "content"


@dataclasses.dataclass
class IgnoreRange:
    """Answer 200 with the whole file although a part was asked for."""

    at: str = "content"


@dataclasses.dataclass
class Headers:
    """Answer with other headers; None removes one."""

    headers: dict
    at: str = "head"


# ---- the hub -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Request:
    host: str
    method: str
    path: str
    headers: dict
    status: int = 0
    bytes_sent: int = 0


class FakeHub:
    def __init__(self, files, tls=None):
        """files: path -> bytes. tls: (certificate file, key file) for https on both hosts."""
        self.files = dict(files)
        self.commit = hashlib.sha1(
            repr([(path, etag_of(path, data)) for path, data in files.items()]).encode()).hexdigest()
        self.branches = {"main"}
        self.gated = False
        self.private = False
        self.token = None  # the one that is known
        self.members = set()  # tokens whose account has accepted the conditions
        self.api_answer = None  # bytes instead of the list of files
        self.requests = []
        self.lock = threading.Lock()
        self.actions = []  # (text, action)
        scheme = "https" if tls else "http"
        self.servers = [self._listen("127.0.0.1", tls), self._listen("127.0.0.2", tls)]
        self.url = f"{scheme}://127.0.0.1:{self.servers[0].server_port}"
        self.storage_url = f"{scheme}://127.0.0.2:{self.servers[1].server_port}"

    def _listen(self, host, tls):
        server = http.server.ThreadingHTTPServer((host, 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        server.hub = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def close(self):
        for _, action in self.actions:
            if isinstance(action, Hold):
                action.event.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def misbehave(self, text, *actions):
        self.actions += [(text, action) for action in actions]

    def take_action(self, path, at):
        with self.lock:
            for i, (text, action) in enumerate(self.actions):
                if text in path and action.at == at:
                    return self.actions.pop(i)[1]
        return None

    def forget(self):
        self.requests.clear()

    def seen(self, method="GET", host=None, text=""):
        with self.lock:
            return [r for r in self.requests
                    if r.method == method and text in r.path and host in (None, r.host)]

    def contents_sent(self, path):
        """The answers with content of a file, from wherever it is kept."""
        large = is_large(path)
        key = etag_of(path, self.files[path]) if large else f"/api/resolve-cache/{self.commit}/{path}"
        return [r for r in self.seen(text=key) if r.status in (200, 206)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    # -- answers

    def reply(self, status, headers=None, body=b"", changes=None):
        headers = {"Content-Length": str(len(body)), **(headers or {}), **(changes or {})}
        self.request_noted.status = status
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.send_bytes(body)

    def send_bytes(self, body):
        self.wfile.write(body)
        self.request_noted.bytes_sent += len(body)

    def refuse(self, status, code, message="refused"):
        self.reply(status, {"X-Error-Code": code, "X-Error-Message": message},
                   json.dumps({"error": message}).encode())

    def send_content(self, path, data, headers):
        action = self.server.hub.take_action(path, "content") if self.command == "GET" else None
        if isinstance(action, Status):
            self.reply(action.status, action.headers)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and not isinstance(action, IgnoreRange):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = bytearray(data[start:])
        if isinstance(action, Flip):
            body[action.byte] ^= 0xFF
        share = action.share if isinstance(action, (Cut, Hold)) else 1
        self.request_noted.status = 206 if "Content-Range" in headers else 200
        self.send_response(self.request_noted.status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.send_bytes(body[:int(len(body) * share)])
        self.wfile.flush()
        if isinstance(action, Hold):
            action.event.wait(60)
            self.send_bytes(body[int(len(body) * share):])
        if isinstance(action, Cut):
            self.close_connection = True

    # -- requests

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        host = self.server.server_address[0]
        hub = self.server.hub
        url = urllib.parse.urlsplit(self.path)  # a proxy is asked with a whole address
        self.request_noted = Request(host, self.command, self.path, dict(self.headers))
        with hub.lock:
            hub.requests.append(self.request_noted)
        try:
            if host == "127.0.0.2":
                self.answer_storage(hub, url)
            else:
                self.answer_hub(hub, urllib.parse.unquote(url.path), url.path)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def answer_storage(self, hub, url):
        etag = url.path.lstrip("/")
        for path, data in hub.files.items():
            if is_large(path) and etag_of(path, data) == etag:
                # a storage host's own checksum is not the hub's
                self.send_content(path, data, {"ETag": '"not-the-hub-s"'})
                return
        self.reply(403)

    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def may_enter(self, hub, wants_content):
        """Answer the refusal, or say yes."""
        if self.token() and self.token() != hub.token:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif hub.private and not self.token():
            self.refuse(401, "RepoNotFound", "Invalid username or password.")
        elif hub.gated and wants_content and self.token() not in hub.members:
            self.refuse(403 if self.token() else 401, "GatedRepo",
                        f"Access to model {REPO} is restricted.")
        else:
            return True
        return False

    def answer_hub(self, hub, path, raw_path):
        api, resolve, cache = f"/api/models/{REPO}/", f"/{REPO}/resolve/", "/api/resolve-cache/"
        if path.startswith(cache):
            _, name = path.removeprefix(cache).split("/", 1)
            headers = {"X-Repo-Commit": hub.commit, "ETag": f'W/"{git_blob_id(hub.files[name])}"'}
            self.send_content(name, hub.files[name], headers)
        elif path.startswith(api):
            action = hub.take_action(path, "list")
            if action:
                self.reply(action.status, action.headers)
            elif self.may_enter(hub, False):
                self.answer_api(hub, path.removeprefix(api), raw_path)
        elif path.startswith(resolve):
            if self.may_enter(hub, True):
                self.answer_resolve(hub, path.removeprefix(resolve).split("/", 1)[1])
        elif not self.token():
            self.refuse(401, "RepoNotFound", "Invalid username or password.")
        else:
            self.refuse(404, "RepoNotFound", "Repository not found")

    def answer_api(self, hub, rest, raw_path):
        kind, revision = rest.split("/", 1)
        assert "/" not in raw_path.split(f"/{kind}/", 1)[1], "a slash in a revision is escaped"
        if revision not in hub.branches | {hub.commit}:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif hub.api_answer is not None:
            self.reply(200, {"Content-Type": "application/json"}, hub.api_answer)
        elif kind == "revision":
            body = {"id": REPO, "modelId": REPO, "sha": hub.commit, "gated": hub.gated,
                    "private": hub.private, "tags": [], "downloads": 1, "likes": 1,
                    "siblings": [{"rfilename": path} for path in sorted(hub.files)]}
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        else:
            entries = [self.tree_entry(path, data) for path, data in sorted(hub.files.items())]
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())

    @staticmethod
    def tree_entry(path, data):
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_blob_id(data)}
        if is_large(path):
            entry["lfs"] = {"oid": etag_of(path, data), "size": len(data), "pointerSize": 134}
        return entry

    def answer_resolve(self, hub, name):
        action = hub.take_action(name, "head" if self.command == "HEAD" else "resolve")
        changes = action.headers if isinstance(action, Headers) else None
        if isinstance(action, Status):
            self.reply(action.status, action.headers)
            return
        if name not in hub.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        data = hub.files[name]
        headers = {"X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
        if is_large(name):
            headers["X-Linked-Etag"] = f'"{etag_of(name, data)}"'
            headers["X-Linked-Size"] = str(len(data))
            headers["Location"] = f"{hub.storage_url}/{etag_of(name, data)}?signature=secret"
            self.reply(302, headers, b"Found", changes)
        else:
            headers["Location"] = f"/api/resolve-cache/{hub.commit}/{name}"
            self.reply(307, headers, b"Temporary Redirect", changes)
