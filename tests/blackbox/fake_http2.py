"""A server that speaks as much HTTP/2 (RFC 9113) as one client needs, over plain TCP or TLS.

It doesn't decode header fields: requests are told apart by their streams, their bodies are kept.
Answers use only fields that need no compression state."""

import socket
import ssl
import struct
import threading
import time

from fake_server import PNG, images

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MAX_FRAME = 16384
STATUS_200, STATUS_500 = b"\x88", b"\x8e"  # of the static table (RFC 7541, appendix A)
JSON_TYPE = b"\x0f\x10\x10application/json"  # literal, name 31 of that table


class FakeHttp2Server:
    """with FakeHttp2Server(delay) as server: each POST gets a picture after delay seconds."""

    def __init__(self, delay=0.0, tls=None, protocols=("h2",), status=STATUS_200):
        self.delay, self.status = delay, status
        self.bodies = []
        self.waiting = set()  # streams that were asked and not answered yet, with their send
        self.n_given_up = 0   # of those, how many the client reset
        self.n_connections = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
            self.context.set_alpn_protocols(list(protocols))
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _accept(self):
        while True:
            try:
                plain, _ = self.socket.accept()
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = self.context.wrap_socket(plain, server_side=True) \
                    if self.context else plain
            except ssl.SSLError:
                continue
            except OSError:
                return
            with self.lock:
                self.n_connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        write_lock = threading.Lock()
        bodies = {}

        def send(kind, flags, stream, payload=b""):
            head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
            with write_lock:
                connection.sendall(head + payload)

        try:
            with connection.makefile("rb") as reader:
                if reader.read(len(PREFACE)) != PREFACE:
                    return
                send(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))  # window of each stream
                send(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
                while self._take_frame(reader, send, bodies):
                    pass
        except (OSError, struct.error, ValueError):
            pass
        finally:
            connection.close()

    def _take_frame(self, reader, send, bodies):
        head = reader.read(9)
        if len(head) < 9:
            return False
        size, kind, flags, stream = int.from_bytes(head[:3], "big"), *struct.unpack(">BBI", head[3:])
        payload = reader.read(size)
        if kind == SETTINGS and not flags & ACK:
            send(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            send(PING, ACK, 0, payload)
        elif kind == HEADERS:
            bodies[stream] = b""
        elif kind == DATA:
            bodies[stream] += payload
        elif kind == RESET:
            with self.lock:
                self.n_given_up += (send, stream) in self.waiting
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            with self.lock:
                self.bodies.append(bodies.pop(stream))
                self.waiting.add((send, stream))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
            threading.Thread(target=self._answer, args=(send, stream), daemon=True).start()
        return kind != GOAWAY

    def _answer(self, send, stream):
        time.sleep(self.delay)
        with self.lock:
            self.waiting.discard((send, stream))
            self.in_flight -= 1
        body = images(PNG)
        try:
            send(HEADERS, END_HEADERS, stream, self.status + JSON_TYPE)
            for at in range(0, len(body), MAX_FRAME):
                last = at + MAX_FRAME >= len(body)
                send(DATA, END_STREAM if last else 0, stream, body[at: at + MAX_FRAME])
        except OSError:
            pass
