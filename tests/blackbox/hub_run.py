"""What the tests of the hub share: files of a model, a fake hub that serves them, and the program
hub_cli (tests/hub) with an environment that points to both."""

import os
import pathlib
import subprocess
import time

import pytest
from fake_hub import REPO, FakeHub

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLUXBENCH_BUILD", ROOT / "build/release"))
HUB_CLI = BUILD / "tests/hub/hub_cli"
MODEL = ROOT / "models/tiny-flux-dev"
FOLDER = "models--" + REPO.replace("/", "--")
TOKEN = "hf_testTokenThatMustStayHome"
WAIT_S = 60

# Files of the real repository that no pipeline needs.
DECOYS = {
    "flux1-dev.safetensors": b"a single-file checkpoint",
    "ae.safetensors": b"another",
    "README.md": b"# FLUX",
    "dev_grid.jpg": b"\xff\xd8",
    "text_encoder/pytorch_model.bin": b"pickle",
    "text_encoder/flax_model.msgpack": b"flax",
    "text_encoder/model.fp16.safetensors": b"a variant",
    "text_encoder/model.onnx": b"onnx",
    "transformer/extra/config.json": b"{}",
}


def model_files():
    """What a pipeline needs, as the tiny model has it."""
    return {str(path.relative_to(MODEL)): path.read_bytes()
            for path in sorted(MODEL.rglob("*")) if path.is_file()}


class Client:
    """Runs hub_cli against a hub, in a cache of its own."""

    def __init__(self, hub, home):
        self.hub = hub
        self.home = home
        self.cache = home / "hub"
        keep = {name: value for name, value in os.environ.items()
                if not name.startswith("HF_") and not name.lower().endswith("_proxy")}
        self.environment = {**keep, "HF_HOME": str(home), "HF_ENDPOINT": hub.url}

    @property
    def repo(self):
        return self.cache / FOLDER

    @property
    def snapshot(self):
        return self.repo / "snapshots" / self.hub.commit

    def blob(self, path):
        return self.snapshot.joinpath(path).resolve()

    def start(self, command, *arguments, **environment):
        extra = ["--retry-delay", "0.05"] if command == "download" else []
        return subprocess.Popen([HUB_CLI, command, *arguments, *extra], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**self.environment, **environment})

    def run(self, command, *arguments, **environment):
        """(exit code, stdout without its line end, stderr)"""
        process = self.start(command, *arguments, **environment)
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out.rstrip("\n"), err

    def locate(self, name=REPO, **environment):
        return self.run("locate", name, **environment)

    def download(self, *arguments, name=REPO, **environment):
        return self.run("download", name, *arguments, **environment)


def wait_for(claim):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if claim():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture
def hub():
    hub = FakeHub({**model_files(), **DECOYS})
    yield hub
    hub.close()


@pytest.fixture
def client(hub, tmp_path):
    return Client(hub, tmp_path / "home")
