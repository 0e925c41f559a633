"""How the client connects: HTTP/2, TLS, reuse of connections, what of secrets is written down."""

import json
import shutil
import ssl
import subprocess

import pytest

from client_run import profile
from fake_http2 import STATUS_500, FakeHttp2Server
from fake_server import Answer, FakeServer, PNG


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of 127.0.0.1, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl program to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                    folder / "key.pem", "-out", folder / "cert.pem", "-days", "3650", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True,
                   capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


class TlsServer(FakeServer):
    """FakeServer behind TLS, for HTTP/1.1."""

    def __init__(self, certificate, script=None):
        super().__init__(script)
        self.url = self.url.replace("http:", "https:")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.context.set_alpn_protocols(["http/1.1"])

    def _serve(self, connection):
        try:
            connection = self.context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError):
            connection.close()
            return
        super()._serve(connection)


# ---- HTTP/2 -------------------------------------------------------------------------------------

ALONE = ["--no-server-metrics"]  # nothing else asks the server

def test_requests_share_one_http2_connection(tmp_path):
    with FakeHttp2Server(delay=0.3) as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--concurrency", "8",
                      "--request-count", "16")
        assert run.code == 0, run.err
        assert server.n_connections == 1 and server.most_in_flight == 8
    summary = run.json()
    assert summary["request_count"]["avg"] == 16 == summary["images_decoded"]["avg"]
    assert summary["request_latency"]["max"] < 2000  # none waited for another's answer
    assert summary["input_config"]["endpoint"]["http_version"] == "2"
    reused = [line["metrics"]["http_req_connection_reused"]["value"] for line in run.lines()]
    assert sum(reused) == 15
    assert sorted(server.bodies) == sorted(  # each body as inputs.json says
        json.dumps(p, separators=(",", ":")).encode()
        for entry in (run.json("inputs.json")["data"] * 6)[:16] for p in entry["payloads"])


def test_a_large_body_goes_over_http2(tmp_path):
    with FakeHttp2Server() as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--request-count", "2",
                      "--extra-inputs", "pad:" + "x" * 100000)
        assert run.code == 0, run.err
    assert [len(body) > 100000 for body in server.bodies] == [True] * 2


def test_never_makes_an_http2_connection_per_request(tmp_path):
    with FakeHttp2Server() as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--request-count", "3",
                      "--connection-reuse-strategy", "never")
        assert run.code == 0 and server.n_connections == 3, run.err


def test_http2_over_tls(tmp_path, certificate):
    with FakeHttp2Server(tls=certificate) as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--tls-ca-file",
                      certificate[0], "--request-count", "4", "--concurrency", "2")
        assert run.code == 0, run.err
        assert server.n_connections == 1


def test_hanging_up_leaves_the_other_streams_alone(tmp_path):
    with FakeHttp2Server(delay=0.4) as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--concurrency", "4",
                      "--request-count", "12", "--request-cancellation-rate", "40",
                      "--random-seed", "3", "--request-cancellation-delay", "0.05")
        assert run.code == 0, run.err
        summary = run.json()
        n = summary["request_cancellation_count"]["avg"]
        assert 0 < n < 12 and summary["request_count"]["avg"] == 12 - n
        assert server.n_given_up == n and server.n_connections == 1


def test_http2_errors_have_no_reason_phrase(tmp_path):
    with FakeHttp2Server(status=STATUS_500) as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--request-count", "2")
    assert run.code == 1
    (failure,) = run.json()["error_summary"]
    assert failure["count"] == 2 and failure["error_details"]["code"] == 500
    assert failure["error_details"]["type"] == "HTTP error"


def test_a_server_without_http2_is_an_error(tmp_path, certificate):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--request-count", "1")
    assert run.code == 1 and run.json()["error_request_count"]["avg"] == 1
    with TlsServer(certificate) as server:  # where the handshake settles on HTTP/1.1
        run = profile(server.url, tmp_path, *ALONE, "--http-version", "2", "--request-count", "1",
                      "--tls-insecure")
    assert run.code == 1 and "does not speak HTTP/2" in run.err


# ---- TLS ----------------------------------------------------------------------------------------

def test_a_certificate_is_checked(tmp_path, certificate):
    with TlsServer(certificate) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
        assert run.code == 1 and server.requests == []
        assert "certificate" in run.json()["error_summary"][0]["error_details"]["message"].lower()


@pytest.mark.parametrize("how", ["ca", "insecure"])
def test_a_certificate_can_be_trusted(tmp_path, certificate, how):
    args = ["--tls-ca-file", certificate[0]] if how == "ca" else ["--tls-insecure"]
    body = b'{"data":[{"url":"/x.png"}]}'  # the picture is fetched in the same way
    with TlsServer(certificate, lambda i, r: Answer(body)) as server:
        server.routes["/x.png"] = Answer(PNG, kind="image/png")
        server.routes["/v1/models"] = Answer(
            b'{"data":[{"id":"black-forest-labs/FLUX.1-dev"}]}')
        run = profile(server.url, tmp_path, "--request-count", "2", "--wait-for-model-timeout",
                      "5", "--wait-for-model-mode", "models", *args)
        assert run.code == 0, run.err
        assert server.requests[0].version == "HTTP/1.1"
    assert run.json()["images_decoded"]["avg"] == 2
    assert run.json()["http_req_connecting"]["max"] > 0


def test_wrong_tls_options_are_refused(tmp_path, certificate):
    run = profile("https://127.0.0.1:9", tmp_path, "--tls-ca-file", "none.pem")
    assert run.code == 2 and "--tls-ca-file none.pem: No such file" in run.err
    run = profile("https://127.0.0.1:9", tmp_path, "--tls-ca-file", certificate[0],
                  "--tls-insecure")
    assert run.code == 2 and "exclude each other" in run.err
    run = profile("https://127.0.0.1:9", tmp_path, "--http-version", "3")
    assert run.code == 2 and "--http-version is '3'" in run.err


# ---- reuse and secrets --------------------------------------------------------------------------

@pytest.mark.parametrize("strategy, n", [("pooled", 1), ("never", 4), ("sticky-user-sessions", 4)])
def test_connections_are_used_again_or_not(tmp_path, strategy, n):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--connection-reuse-strategy", strategy,
                      "--request-count", "4")
        assert run.code == 0 and server.n_connections == n
        closing = {r.header("Connection") for r in server.requests}
        assert closing == {"close" if strategy == "never" else None}
    assert run.json()["input_config"]["endpoint"]["connection_reuse"] == strategy


def test_secrets_are_sent_and_in_no_file(tmp_path):
    secrets = ["key-4711", "Basic b64", "tok-0815", "cookie-1"]
    secrets += ["user-0", "pass-0", "query-7", "subscription-8", "second-9"]
    with FakeServer() as server:
        url = server.url.replace("://", "://user-0:pass-0@") + "?api_key=query-7"
        run = profile(url, tmp_path, "--api-key", secrets[0], "--header",
                      "Ocp-Apim-Subscription-Key:subscription-8", "--server-metrics",
                      f"http://user-0:pass-0@127.0.0.1:{server.port}", "--header",
                      f"Proxy-Authorization:{secrets[1]}", "--header", f"X-My-Token:{secrets[2]}",
                      "--header", '{"Cookie":"%s","X-Plain":"seen"}' % secrets[3],
                      "--header", "X-First:1,X-Other-Secret:second-9",
                      "--export-level", "raw", "--export-chrome-trace", "--request-count", "2",
                      "-vv")
    assert run.code == 0, run.err
    sent = dict(server.requests[0].headers)
    assert sent["Authorization"] == "Bearer key-4711" and sent["X-My-Token"] == "tok-0815"
    assert sent["Cookie"] == "cookie-1" and sent["Proxy-Authorization"] == "Basic b64"
    written = {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    written["stdout"], written["stderr"] = run.out.encode(), run.err.encode()
    for name, content in written.items():
        assert not any(secret.encode() in content for secret in secrets), name
    headers = run.lines("profile_export_raw.jsonl")[0]["request_headers"]
    assert headers["Authorization"] == "<redacted>" and headers["X-Plain"] == "seen"
