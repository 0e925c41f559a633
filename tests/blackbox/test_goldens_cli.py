"""The reference cases through the command line: fluxserve generate with every option that a case
needs, its dump and its pictures compared with the stored ones."""
import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FLUXBENCH_SHARED", ROOT.parent / "shared"))
FLUXSERVE = os.environ.get("FLUXSERVE", str(ROOT / "build/release/fluxserve"))
SETS = [(ROOT / "models", ROOT / "tests/data/goldens")]
# Under a sanitizer the subset is enough.
if (SHARED / "goldens/cases.json").exists() and not os.environ.get("FLUXBENCH_SANITIZE"):
    SETS.append((SHARED / "models", SHARED / "goldens"))


def cases():
    for models, goldens in SETS:
        for case in json.loads((goldens / "cases.json").read_text())["cases"]:
            yield pytest.param(models, goldens, case, id=f"{goldens.parent.name}-{case['id']}")


def read_safetensors(path):
    """Name to float64 or integer array; bf16 included, which numpy does not know."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I32": "<i4", "U8": "u1"}
    out = {}
    for name, e in json.loads(raw[8:8 + length]).items():
        if name == "__metadata__":
            continue
        data = raw[8 + length:][slice(*e["data_offsets"])]
        if e["dtype"] == "BF16":
            array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(data, types[e["dtype"]])
        out[name] = array.reshape(e["shape"])
    return out


def options(case, goldens):
    def texts(flag, value):
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [x for v in values for x in (flag, v)]

    seed = case["seed"]
    args = texts("--prompt", case["prompt"]) + texts("--prompt-2", case["prompt_2"])
    args += texts("--negative-prompt", case["negative_prompt"])
    args += ["--seed", ",".join(map(str, seed)) if isinstance(seed, list) else str(seed),
             "--width", str(case["width"]), "--height", str(case["height"]),
             "--steps", str(case["num_inference_steps"]),
             "--true-cfg-scale", str(case["true_cfg_scale"]),
             "--max-sequence-length", str(case["max_sequence_length"]),
             "--n", str(case["num_images_per_prompt"]),
             "--dtype", "bf16" if case["compute_dtype"] == "bfloat16" else "f32"]
    if case["guidance_scale"] is not None:
        args += ["--guidance-scale", str(case["guidance_scale"])]
    if case.get("vae_tile_size"):
        args += ["--vae-tiling", "--vae-tile-size", str(case["vae_tile_size"])]
    if case.get("init_image"):
        args += ["--image", str(goldens / case["init_image"]), "--strength", str(case["strength"])]
    return args


@pytest.mark.parametrize("models, goldens, case", list(cases()))
def test_generate_gives_the_reference_tensors_and_pictures(models, goldens, case, tmp_path):
    dump = tmp_path / "dump.safetensors"
    subprocess.run([FLUXSERVE, "generate", "--model-path", models / case["model"],
                    *options(case, goldens), "--output", tmp_path / "out.png",
                    "--dump-tensors", dump], check=True, capture_output=True, timeout=300)
    got, want = read_safetensors(dump), read_safetensors(goldens / case["tensors"])
    for name, array in want.items():
        if name.startswith("f32ref."):
            continue
        assert name in got, f"{name} is not in the dump"
        assert got[name].shape == array.shape, name
        bound = case["tolerance"].get(name)
        if array.dtype.kind in "iu" and name != "image_uint8":
            assert np.array_equal(got[name], array), name
        elif bound and "rel_rms" in bound:
            diff = got[name].astype("f8") - array.astype("f8")
            scale = np.sqrt(np.mean(np.square(array.astype("f8")))) or 1.0
            assert np.abs(diff).max() <= bound["max_abs"], name
            assert np.sqrt(np.mean(np.square(diff))) / scale <= bound["rel_rms"], name
        elif name in ("mu", "sigmas", "sigmas_all", "timesteps", "timesteps_all"):
            assert np.allclose(got[name], array, rtol=1e-6, atol=0), name

    pictures = sorted(tmp_path.glob("out*.png"))
    assert len(pictures) == len(case["png"])
    bound = case["tolerance"]["image_uint8"]
    for mine, stored in zip(pictures, case["png"]):
        a, b = (np.asarray(Image.open(p).convert("RGB"), "i4") for p in (mine, goldens / stored))
        diff = np.abs(a - b)
        assert diff.max() <= bound["max_diff"]
        assert (diff > 0).mean() <= bound.get("frac_diff", 1)
        assert diff.mean() <= bound.get("mean_abs_diff", 255)


@pytest.mark.parametrize("encoder, folder, kind", [("clip", "tokenizer", "clip"),
                                                   ("t5", "tokenizer_2", "t5")])
def test_tokenize_gives_the_reference_ids(encoder, folder, kind):
    lines = [json.loads(line) for path in (ROOT / f"tests/data/tokenizer/{kind}_cases.jsonl",
                                           SHARED / f"tokenizer/{kind}_cases.jsonl")
             if path.exists() for line in path.read_text("utf-8").splitlines()]
    assert lines
    result = subprocess.run([FLUXSERVE, "tokenize", "--model-path",
                             ROOT / "models/tiny-flux-dev", "--encoder", encoder],
                            input="".join(json.dumps(c["text"]) + "\n" for c in lines).encode(),
                            check=True, capture_output=True, timeout=60)
    ids = [json.loads(line) for line in result.stdout.splitlines()]
    assert ids == [c["ids"] for c in lines]
