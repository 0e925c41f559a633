"""A scripted image server for black-box tests of the client.

It speaks just enough HTTP/1.1 over plain sockets to note each request byte for byte and to answer
whatever a test asks for: a good answer after a known delay, an error, garbage, half an answer, or
nothing at all.
"""

import base64
import json
import socket
import struct
import threading
import time
import zlib


def make_png(width=7, height=8):
    """A small valid PNG with pixels that compress badly."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(
        b"\0" + bytes((x * 37 + y * 91 + c * 59) % 256 for x in range(width) for c in range(3))
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PNG = make_png()


def images(*files):
    """The body of a successful answer."""
    data = [{"b64_json": base64.b64encode(f).decode()} for f in files]
    return json.dumps({"created": 1700000000, "data": data}, separators=(",", ":")).encode()


class Answer:
    """What to do with one request. close cuts the connection: "before" an answer, in the "middle"
    of the body, "after" it without a word, or None. raw: the bytes of the whole answer in pieces
    that are sent one by one, instead of everything else."""

    def __init__(self, body=None, status="200 OK", delay=0.0, kind="application/json", close=None,
                 headers=(), raw=None):
        self.body = images(PNG) if body is None else body
        self.status, self.delay, self.kind, self.close = status, delay, kind, close
        self.headers, self.raw = headers, raw


class Request:
    def __init__(self, head, body, arrived):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, self.version = lines[0].split(" ")
        self.headers = [(name, value.strip()) for name, _, value in
                        (line.partition(":") for line in lines[1:] if line)]
        self.body, self.arrived, self.peer = body, arrived, None

    def header(self, name):
        return dict((k.lower(), v) for k, v in self.headers).get(name.lower())

    def json(self):
        return json.loads(self.body)


class FakeServer:
    """with FakeServer(script) as server: script(i, request) gives the Answer to POST number i,
    counted from 0; other paths are in routes: path -> Answer. Looks at /metrics are noted in
    scrapes and nowhere else: they come as often as time has it."""

    def __init__(self, script=None, routes=None):
        self.script = script or (lambda i, request: Answer())
        self.routes = routes or {}
        self.requests = []  # POSTs only
        self.others, self.scrapes = [], []
        self.n_connections = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.open = set()
        self.is_closed = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """As if the process were killed: nothing listens, open connections break."""
        with self.lock:
            self.is_closed = True
            connections = list(self.open)
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for c in connections:
            try:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                if self.is_closed:
                    connection.close()
                    return
                self.n_connections += 1
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection.makefile("rb") as stream:
                while self._exchange(connection, stream):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def _exchange(self, connection, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        request = Request(head[:-4], b"", time.monotonic())
        request.peer = connection.getpeername()
        request.body = stream.read(int(request.header("content-length") or 0))
        if request.path == "/metrics":
            with self.lock:
                self.scrapes.append(request)
                self.n_connections -= 1
            answer = self.routes.get(request.path, Answer(b"{}", "404 Not Found"))
            time.sleep(answer.delay)
            return self._send(connection, answer) and False
        with self.lock:
            if request.method == "POST" and request.path not in self.routes:
                index = len(self.requests)
                self.requests.append(request)
                answer = None
            else:
                self.others.append(request)
                missing = Answer(b"{}", "404 Not Found")
                answer = self.routes.get(request.path, missing)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if answer is None:
            answer = self.script(index, request)
        time.sleep(answer.delay)
        with self.lock:
            self.in_flight -= 1
        return self._send(connection, answer)

    @staticmethod
    def _send(connection, answer):
        if answer.close == "before":
            return False
        for piece in answer.raw or []:
            connection.sendall(piece)
            time.sleep(0.002)
        if answer.raw:
            return answer.close is None
        head = f"HTTP/1.1 {answer.status}\r\nContent-Type: {answer.kind}\r\n"
        head += f"Content-Length: {len(answer.body)}\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in answer.headers) + "\r\n"
        body = answer.body[: len(answer.body) // 2] if answer.close == "middle" else answer.body
        connection.sendall(head.encode() + body)
        return answer.close is None
