"""A hub that says no, a network that does, and the token, which stays at home."""

import shutil
import subprocess

import pytest
from fake_hub import REPO, FakeHub, Headers, Status
from hub_run import TOKEN, Client, client, hub, model_files  # noqa: F401

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
NOWHERE = "http://127.0.0.1:1"  # nobody listens there


# ---- who may read -------------------------------------------------------------------------------


def test_the_token_goes_to_the_hub_and_never_to_the_storage_host(client, hub):
    hub.gated, hub.token, hub.members = True, TOKEN, {TOKEN}
    code, out, err = client.download(HF_TOKEN=TOKEN)
    assert code == 0, err
    at_hub = [r for r in hub.requests if r.host == "127.0.0.1"]
    at_storage = [r for r in hub.requests if r.host == "127.0.0.2"]
    assert at_hub and at_storage
    assert all(r.headers["Authorization"] == f"Bearer {TOKEN}" for r in at_hub)
    assert all("Authorization" not in r.headers for r in at_storage)
    assert all(TOKEN not in value for r in at_storage for value in r.headers.values())
    assert TOKEN not in err + out


def test_another_port_of_the_same_host_is_another_origin(client, hub):
    hub.token = TOKEN
    other = FakeHub(hub.files)
    hub.storage_url = other.url  # 127.0.0.1 as well
    other.forget()
    client.download("--include", WEIGHTS, HF_TOKEN=TOKEN)
    assert other.requests and all("Authorization" not in r.headers for r in other.requests)
    other.close()


def test_the_token_comes_from_a_file_too(client, hub, tmp_path):
    hub.gated, hub.token, hub.members = True, TOKEN, {TOKEN}
    client.home.mkdir()
    (client.home / "token").write_text(TOKEN + "\n")
    assert client.download("--include", "*.json")[0] == 0
    (client.home / "token").unlink()
    other = tmp_path / "my token"
    other.write_text(TOKEN)
    assert client.download("--include", "*.txt", HF_TOKEN_PATH=str(other))[0] == 0


def test_a_gated_model_names_the_page_to_accept(client, hub):
    hub.gated, hub.token = True, TOKEN
    code, _, err = client.locate()
    assert code == 1
    assert (f"{REPO} is gated (401): open {hub.url}/{REPO} in a browser, log in and accept its "
            f"conditions, make a token at {hub.url}/settings/tokens, and set HF_TOKEN to it") in err
    code, _, err = client.locate(HF_TOKEN=TOKEN)
    assert code == 1
    assert (f"{REPO} is gated and the token's account has no access (403): open {hub.url}/{REPO} "
            "in a browser, log in to that account and accept its conditions") in err
    assert TOKEN not in err
    assert "trying again" not in err
    hub.members.add(TOKEN)
    assert client.locate(HF_TOKEN=TOKEN)[0] == 0


def test_a_wrong_token_is_told_apart_from_a_missing_model(client, hub):
    hub.token = TOKEN
    code, _, err = client.locate(HF_TOKEN="hf_old")
    assert code == 1
    assert f"the hub doesn't accept the token (401): make a new one at {hub.url}/settings/" in err
    assert "hf_old" not in err
    code, _, err = client.locate("nobody/nothing")
    assert code == 1
    assert "nobody/nothing doesn't exist, or is private or gated (401)" in err
    code, _, err = client.locate("nobody/nothing", HF_TOKEN=TOKEN)
    assert code == 1
    assert f"there is no model nobody/nothing on {hub.url} (404)" in err


def test_a_private_model_asks_for_a_token(client, hub):
    hub.private, hub.token = True, TOKEN
    code, _, err = client.locate()
    assert code == 1 and "set HF_TOKEN to a token" in err
    assert client.locate(HF_TOKEN=TOKEN)[0] == 0


def test_forbidden_without_a_gate_passes_on_the_reason(client, hub):
    hub.misbehave("main", Status(403, {"X-Error-Message": "no enterprise plan"}, at="list"))
    code, _, err = client.locate()
    assert code == 1 and "is forbidden (403): no enterprise plan" in err


# ---- troubles that pass -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
@pytest.mark.parametrize("stage", ["list", "head", "resolve", "content"])
def test_troubles_of_the_hub_are_waited_out(client, hub, stage, status):
    path = "main" if stage == "list" else "vae/diff"
    hub.misbehave(path, Status(status, at=stage), Status(status, at=stage))
    include = ["--include", "vae/*"]
    code, _, err = client.download(*include)
    assert code == 0, err
    assert err.count(f"({status}); trying again") == 2


def test_retry_after_is_obeyed(client, hub):
    hub.misbehave("main", Status(429, {"Retry-After": "1"}, at="list"))
    code, _, err = client.download("--include", "*.md")
    assert code == 0
    assert "asks for fewer requests (429); trying again in 1.0 s" in err


def test_a_long_retry_after_is_the_users_decision(client, hub):
    hub.misbehave("main", Status(429, {"Retry-After": "86400"}, at="list"))
    code, _, err = client.download()
    assert code == 1
    assert "trying again" not in err and "asks for fewer requests (429)" in err


def test_a_trouble_that_stays_is_reported(client, hub):
    hub.misbehave("main", *[Status(503, at="list")] * 20)
    code, _, err = client.download()
    assert code == 1
    assert "the list of files: 127.0.0.1 is in trouble (503) (6 times)" in err


def test_an_expired_address_of_the_storage_host_is_asked_for_again(client, hub):
    hub.misbehave(WEIGHTS, Status(403))
    code, _, err = client.download()
    assert code == 0, err
    assert "the storage host 127.0.0.2 answers 403" in err
    assert len(hub.seen(text="/resolve/" + hub.commit + "/" + WEIGHTS)) == 2


# ---- without a hub ------------------------------------------------------------------------------


def test_offline_asks_nobody(client, hub):
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        code, _, err = client.locate(**{variable: "1"})
        assert code == 1
        assert f"{REPO} revision 'main' is not in the cache {client.cache}; offline" in err
    code, _, err = client.download("--offline")
    assert code == 1 and "offline" in err
    assert hub.requests == []
    directory = client.locate()[1]
    hub.forget()
    assert client.locate(HF_HUB_OFFLINE="1")[:2] == (0, directory)
    assert client.download(HF_HUB_OFFLINE="1")[:2] == (0, directory)
    assert hub.requests == []


def test_a_hub_out_of_reach_leaves_the_copy_in_the_cache(client):
    code, _, err = client.download(HF_ENDPOINT=NOWHERE)
    assert code == 1 and "no complete answer from 127.0.0.1" in err
    directory = client.locate()[1]
    code, again, err = client.download(HF_ENDPOINT=NOWHERE)
    assert (code, again) == (0, directory)
    assert "using the copy in the cache, which may be old" in err


def test_a_read_only_cache_is_enough(client, hub):
    directory = client.locate()[1]
    hub.forget()
    for path in sorted(client.home.rglob("*"), reverse=True):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert client.locate()[:2] == (0, directory)
        assert hub.requests == []
    finally:
        for path in client.home.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def test_the_cache_can_be_moved(client, hub, tmp_path):
    client.locate()
    shutil.copytree(client.cache, tmp_path / "elsewhere", symlinks=True)
    shutil.rmtree(client.cache)
    code, directory, _ = client.locate(HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "elsewhere"))
    assert code == 0
    assert directory.startswith(str(tmp_path / "elsewhere"))


def test_a_disk_without_room_is_noticed_before(client, hub):
    hub.misbehave(WEIGHTS, Headers({"X-Linked-Size": str(1 << 60)}))
    code, _, err = client.download()
    assert code == 1
    assert f"not enough disk space in {client.cache}: 1.2 EB are needed and " in err
    assert hub.contents_sent(WEIGHTS) == []


# ---- answers that no hub gives ------------------------------------------------------------------


@pytest.mark.parametrize("answer, reason", [
    (b"<html>log in to the wifi</html>", "line 1"),
    (b"[]", "this is no hub's answer"),
    (b"{}", "this is no hub's answer"),
    (b'{"sha": "../..", "siblings": []}', "this is no hub's answer"),
    (b'{"sha": 7, "siblings": []}', "sha"),
    (b'{"sha": "COMMIT", "siblings": [{"rfilename": "../../.bashrc"}]}', "'../../.bashrc'"),
    (b'{"sha": "COMMIT", "siblings": [{"rfilename": "/etc/passwd"}]}', "'/etc/passwd'"),
    (b'{"sha": "COMMIT", "siblings": [{}]}', "no file name"),
    (b'{"sha": "COMMIT", "siblings": [{"rfilename": "README.md"}]}', "no model_index.json"),
])
def test_a_list_that_makes_no_sense_is_refused(client, hub, answer, reason):
    hub.api_answer = answer.replace(b"COMMIT", hub.commit.encode())
    code, _, err = client.locate()
    assert code == 1
    assert reason in err
    assert not any(path.is_symlink() for path in client.home.rglob("*"))


@pytest.mark.parametrize("headers, reason", [
    ({"X-Linked-Etag": '"an-upload-2"'}, "gives no checksum"),
    ({"X-Linked-Etag": '"../../../../evil"'}, "gives no checksum"),
    ({"X-Repo-Commit": None}, "is of commit ''"),
    ({"X-Repo-Commit": "0" * 40}, "is of commit '000"),
    ({"X-Linked-Size": None}, "gives no size"),
    ({"X-Linked-Size": "many"}, "gives no size"),
])
def test_a_file_that_cannot_be_verified_is_not_fetched(client, hub, headers, reason):
    hub.misbehave(WEIGHTS, Headers(headers))
    code, _, err = client.locate()
    assert code == 1
    assert WEIGHTS in err and reason in err
    assert hub.contents_sent(WEIGHTS) == []


def test_a_size_that_is_a_lie_is_noticed(client, hub):
    size = len(hub.files[WEIGHTS])
    hub.misbehave(WEIGHTS, Headers({"X-Linked-Size": str(size - 1)}))
    code, _, err = client.download()
    assert code == 1 and f"{WEIGHTS}: more bytes came than announced" in err
    assert not (client.snapshot / WEIGHTS).exists()


def test_redirects_end(client, hub):
    hub.storage_url = hub.url + f"/{REPO}/resolve/{hub.commit}/{WEIGHTS}?"
    code, _, err = client.download("--include", WEIGHTS)
    assert code == 1 and "too many redirects" in err


def test_wrong_usage_has_its_own_exit_code(client):
    code, _, err = client.download(name="not-a-model-name")
    assert code == 2 and "must be owner/name or owner/name@revision" in err
    assert client.run("download")[0] == 2
    assert client.download("--parallel", "99")[0] == 2
    code, out, _ = client.run("download", "--help")
    assert code == 0 and "--cache-dir DIR" in out


# ---- the way to the hub -------------------------------------------------------------------------


def test_proxies_are_taken_from_the_environment(client, hub):
    hub.storage_url = "http://storage.invalid"
    code, _, err = client.download("--include", "*.md", HF_ENDPOINT="http://hub.invalid",
                                   http_proxy=hub.url)
    assert code == 0, err
    assert all(r.path.startswith("http://hub.invalid/") for r in hub.requests)
    hub.forget()
    code, _, err = client.download("--include", "*.txt", http_proxy=NOWHERE, no_proxy="127.0.0.1")
    assert code == 0, err


@pytest.fixture
def certificate(tmp_path):
    """(certificate, key) of 127.0.0.1, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl program to make a certificate with")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=hub", "-addext", "subjectAltName=IP:127.0.0.1,IP:127.0.0.2", "-days", "2",
         "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def test_certificates_are_verified(certificate, tmp_path):
    hub = FakeHub(model_files(), tls=certificate)
    client = Client(hub, tmp_path / "home")
    client.environment.pop("SSL_CERT_FILE", None)
    code, _, err = client.download()
    assert code == 1 and "certificate" in err and "trying again" not in err
    assert hub.requests == []
    code, _, err = client.download(SSL_CERT_FILE=str(certificate[0]))
    assert code == 0, err
    hub.close()


def test_missing_certificates_are_named_as_the_cause(certificate, tmp_path):
    hub = FakeHub(model_files(), tls=certificate)
    code, _, err = Client(hub, tmp_path / "home").download(SSL_CERT_FILE=str(tmp_path / "none"))
    assert code == 1 and "install ca-certificates, or correct SSL_CERT_FILE" in err
    hub.close()


def test_a_redirect_may_not_leave_https(certificate, tmp_path):
    hub = FakeHub(model_files(), tls=certificate)
    client = Client(hub, tmp_path / "home")
    plain = FakeHub(model_files())
    hub.storage_url = plain.storage_url
    code, _, err = client.download(SSL_CERT_FILE=str(certificate[0]))
    assert code == 1 and "from https to an unprotected address" in err
    assert plain.requests == []
    hub.close()
    plain.close()
