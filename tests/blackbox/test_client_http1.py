"""HTTP/1.1 as the client speaks it itself, without libcurl: heads of requests, forms of answers, the
life of connections. What libcurl sends is the model."""

import re
import socket
import threading

import pytest

from client_run import PROMPTS, profile
from fake_server import Answer, FakeServer, PNG, images

BODY = images(PNG)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5;a=b\r\n" + BODY[:5] + b"\r\n%X\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nX-Sum: 1\r\n\r\n"


def byte_by_byte(answer):
    return [answer[i:i + 1] for i in range(len(answer))]


GOOD = {
    "at once": [OK + LENGTH + BODY],
    "byte by byte": byte_by_byte(OK + LENGTH) + [BODY],
    "chunks": [CHUNKED + CHUNKS],
    "chunks byte by byte": [CHUNKED] + byte_by_byte(CHUNKS),
    "after 100 Continue": [b"HTTP/1.1 100 Continue\r\n\r\n", OK + LENGTH + BODY],
    "after early hints": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + LENGTH + BODY],
    "names in capitals": [OK + LENGTH.upper() + BODY],
    "lines without CR": [(OK + LENGTH).replace(b"\r", b"") + BODY],
    "no reason": [b"HTTP/1.1 200\r\n" + LENGTH + BODY],
}


@pytest.mark.parametrize("form", GOOD)
def test_answers_of_all_forms_are_read_and_the_connection_kept(tmp_path, form):
    with FakeServer(lambda i, r: Answer(raw=GOOD[form])) as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--export-level", "raw")
        assert run.code == 0, run.err
        assert server.n_connections == 1
    assert run.json()["request_count"]["avg"] == 3 == run.json()["images_decoded"]["avg"]
    for line in run.lines("profile_export_raw.jsonl"):
        assert line["responses"][0]["text"].encode() == BODY


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_may_end_with_its_connection(tmp_path, head):
    with FakeServer(lambda i, r: Answer(raw=[head + BODY[:9], BODY[9:]], close="after")) as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
        assert run.code == 0, run.err
        assert server.n_connections == 3


BAD = {
    "another protocol": ([b"SSH-2.0-OpenSSH"], "does not begin like one of HTTP/1.1"),
    "HTTP/2": ([b"HTTP/2 200\r\n\r\n"], "does not begin like one of HTTP/1.1"),
    "two lengths": ([OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"],
                    "Content-Length is not one number"),
    "negative length": ([OK + b"Content-Length: -5\r\n\r\n"], "Content-Length is not one number"),
    "chunk without size": ([CHUNKED + b"zz\r\n"], "a chunk without a size"),
    "chunk too long": ([CHUNKED + b"2\r\n12345\r\n"], "a chunk longer than its size"),
    "endless head": ([OK + b"X: " + b"a" * 400_000], "head is too long"),
    "switches": ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], "switches to another protocol"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_an_error_that_says_why(tmp_path, name):
    pieces, why = BAD[name]
    with FakeServer(lambda i, r: Answer(raw=pieces) if i == 1 else Answer()) as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
        assert server.n_connections == 2
    assert run.code == 1 and run.json()["request_count"]["avg"] == 2
    assert why in run.lines()[1]["error"]["message"]


@pytest.mark.parametrize("pieces", [[CHUNKED + CHUNKS[:30]], [OK[:20]], [CHUNKED + CHUNKS[:-2]]])
def test_an_answer_that_breaks_off_is_a_broken_connection(tmp_path, pieces):
    answer = Answer(raw=pieces, close="middle")
    with FakeServer(lambda i, r: answer if i == 1 else Answer()) as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
        assert len(server.requests) == 3 # none was sent a second time
    assert run.code == 1
    assert run.lines()[1]["error"]["type"] == "ServerDisconnectedError"


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(tmp_path):
    with FakeServer(lambda i, r: Answer(close="after")) as server:
        run = profile(server.url, tmp_path, "--request-count", "4", "--request-rate", "20",
                      "--arrival-pattern", "constant")
        assert run.code == 0, run.err
        assert server.n_connections == 4


def test_bytes_behind_an_answer_end_the_connection(tmp_path):
    with FakeServer(lambda i, r: Answer(raw=[OK + LENGTH + BODY + b"HTTP/1.1 200"])) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
        assert run.code == 0, run.err
        assert server.n_connections == 2


# ---- what is sent -------------------------------------------------------------------------------


def normal_head(request):
    """Ids and ports are the run's own."""
    return re.sub(rb"[0-9a-f-]{36}|127.0.0.1:\d+", b"?", request.head)


def test_requests_are_what_libcurl_sends(tmp_path):
    """A header field that frames requests has libcurl send them."""
    heads = []
    for folder, extra in (("own", "X-Empty:"), ("library", "X-Empty:,Connection:keep-alive")):
        (tmp_path / folder).mkdir()
        with FakeServer() as server:
            run = profile(server.url + "/a%20b?x=1&y", tmp_path / folder, "--request-count", "2",
                          "--header", extra, "--api-key", "k")
            assert run.code == 0, run.err
            heads.append([normal_head(r) for r in server.requests])
            assert server.requests[0].json()["prompt"] == PROMPTS[0]
    assert heads[0] == [h.replace(b"Connection: keep-alive\r\n", b"") for h in heads[1]]
    assert b"X-Empty:\r\n" in heads[0][0] and heads[0][0].startswith(b"POST /a%20b")


def test_a_large_request_is_sent_in_full(tmp_path):
    prompt = "kitten " * 400_000
    (tmp_path / "large.jsonl").write_text('{"text": "%s"}\n' % prompt)
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--input-file", "large.jsonl", "--request-count", "2")
        assert run.code == 0, run.err
        assert [r.json()["prompt"] for r in server.requests] == [prompt] * 2
        assert server.n_connections == 1


def test_an_answer_may_come_before_the_request_is_sent_in_full(tmp_path):
    """What was not sent is not counted as sent, and the connection is not used again."""
    (tmp_path / "large.jsonl").write_text('{"text": "%s"}\n' % ("kitten " * 4_000_000))
    n_read = []

    def serve():
        for _ in range(2):
            connection, _ = listener.accept()
            connections.append(connection)
            n_read.append(len(connection.recv(500)))
            connection.sendall(OK + LENGTH + BODY)

    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        run = profile(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path, "--input-file",
                      "large.jsonl", "--request-count", "2", "--no-server-metrics")
        thread.join(timeout=10)
        for connection in connections:
            connection.close()
    assert run.code == 0, run.err
    assert n_read == [500, 500]
    for line in run.lines():
        assert line["metrics"]["http_req_data_sent"]["value"] < 20_000 # of 27,344 KB


def test_secrets_do_not_follow_a_redirect_to_another_server(tmp_path):
    with FakeServer() as other:
        moved = Answer(b"", "307 Temporary Redirect", headers=[("Location", other.url + "/there")])
        with FakeServer(lambda i, r: moved) as server:
            run = profile(server.url, tmp_path, "--request-count", "2", "--api-key", "secret-1",
                          "--header", "Cookie:secret-2,X-Plain:seen")
        assert run.code == 0, run.err
        assert b"secret-1" in server.requests[0].head and b"secret-2" in server.requests[0].head
        for request in other.requests:
            assert request.path == "/there" and request.header("X-Plain") == "seen"
            assert b"secret" not in request.head
            assert request.json()["prompt"] in PROMPTS


def test_secrets_do_not_follow_a_second_redirect_either(tmp_path):
    """The second one is answered to libcurl, which by itself would let this field through."""
    with FakeServer() as last:
        moved = [Answer(b"", "308 Permanent Redirect", headers=[("Location", url)])
                 for url in ("/again", last.url + "/there")]
        with FakeServer(lambda i, r: moved[r.path == "/again"]) as server:
            run = profile(server.url, tmp_path, "--request-count", "1", "--header",
                          "X-My-Token:secret-1")
    assert run.code == 0, run.err
    assert [r.path for r in server.requests] == ["/v1/images/generations", "/again"]
    assert all(b"secret-1" in r.head for r in server.requests)
    assert [r.path for r in last.requests] == ["/there"]
    assert b"secret-1" not in last.requests[0].head


@pytest.mark.parametrize("status, method", [("302 Found", "GET"), ("303 See Other", "GET"),
                                            ("308 Permanent Redirect", "POST")])
def test_redirects_keep_the_method_or_not(tmp_path, status, method):
    moved = Answer(b"here", status, headers=[("Location", "there?a=1")])
    with FakeServer(lambda i, r: moved if r.path.endswith("generations") else Answer(),
                    routes={"/v1/images/there?a=1": Answer()}) as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
        seen = [*server.requests, *(r for r in server.others if "there" in r.path)]
    assert [(r.method, r.path) for r in seen if "there" in r.path] == \
        [(method, "/v1/images/there?a=1")]
    assert run.code == 0, run.err


def test_endless_redirects_end(tmp_path):
    moved = Answer(b"", "307 Temporary Redirect", headers=[("Location", "/round")])
    with FakeServer(lambda i, r: moved) as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
        assert len(server.requests) == 11 # and ten redirects
    assert run.code == 1 and "redirects" in run.lines()[0]["error"]["message"]
