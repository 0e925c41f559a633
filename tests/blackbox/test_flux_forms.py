"""The same weights in each form of a model give the same picture."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

pytest.importorskip("gguf")
pytest.importorskip("numpy")

import flux_forms as forms  # noqa: E402
from conftest import FLUXSERVE, MODEL, ROOT  # noqa: E402
from fake_hub import REPO, FakeHub  # noqa: E402
from hub_run import Client  # noqa: E402

TINY = ROOT / "models/flux-tiny"  # widths of 256, so that every format finds its blocks
SMALL = ROOT / "models/tiny-flux-dev"  # widths of 96: rows of 96 fit no large block


def run(*arguments):
    return subprocess.run([FLUXSERVE, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300)


def picture(tmp_path, model, *arguments, dtype="f32"):
    """(bytes of the picture, log) of a model."""
    out = tmp_path / "out.png"
    done = run("generate", "--model-path", model, "--prompt", "a red fox", "--seed", 3, "--steps",
               2, "--width", 128, "--height", 64, "--backend", "cpu", "--threads", 1, "--dtype",
               dtype, "--log-level", "info", "--output", out, *arguments)
    assert done.returncode == 0, done.stderr
    return out.read_bytes(), done.stderr


def refusal(*arguments, code=2):
    done = run("generate", "--prompt", "a", "--output", "/nowhere/no.png", *arguments)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()[-1]) < 1500
    return done.stderr.splitlines()[-1]


def as_f32(tensors):
    """What the package gguf makes of them."""
    return {name: forms.encode(t, "F32") for name, t in tensors.items()}


def write_decoded(tmp_path, model, transformer):
    """The folder of a model in the diffusers form, with this transformer."""
    out = forms.copy_without_weights(model, tmp_path / "decoded", "transformer")
    forms.write_safetensors(out / "transformer" / forms.WEIGHTS, transformer)
    return out


@pytest.fixture(scope="module")
def transformer():
    return forms.read(TINY / "transformer" / forms.WEIGHTS)


@pytest.fixture(scope="module")
def bfl(tmp_path_factory):
    """flux-tiny with transformer and autoencoder as the first publication has them."""
    out = tmp_path_factory.mktemp("bfl") / "model"
    forms.main(TINY, out)
    return out


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_first_publications_layout_gives_the_same_picture(tmp_path, bfl, dtype):
    got, log = picture(tmp_path, bfl, dtype=dtype)
    assert "transformer: from" in log and "flux1-dev.safetensors (safetensors, BFL names)" in log
    assert "ae.safetensors (safetensors, BFL names)" in log
    assert got == picture(tmp_path, TINY, dtype=dtype)[0]


def test_its_encoder_too(tmp_path, bfl):
    start = picture(tmp_path, TINY)[0]
    (tmp_path / "start.png").write_bytes(start)
    options = ("--image", tmp_path / "start.png", "--strength", "0.5")
    assert picture(tmp_path, bfl, *options)[0] == picture(tmp_path, TINY, *options)[0] != start


@pytest.mark.parametrize("form, dtype", [
    ("F32", "f32"), ("F16", "f32"), ("BF16", "f32"), ("Q8_0", "f32"), ("Q5_1", "f32"),
    ("Q4_0", "f32"), ("Q4_K", "f32"), ("Q4_K", "bf16")])
def test_gguf_gives_the_picture_of_its_decoded_weights(tmp_path, transformer, form, dtype):
    encoded = {name: forms.encode(t, form) for name, t in transformer.items()}
    assert {t.form for t in encoded.values()} >= {form}
    forms.write_gguf(tmp_path / "t.gguf", forms.bfl_transformer(encoded))
    got, log = picture(tmp_path, TINY, "--transformer-path", tmp_path / "t.gguf", dtype=dtype)
    assert "t.gguf (GGUF, BFL names)" in log

    is_plain = form in ("F32", "F16", "BF16")  # then both files hold the same bytes
    decoded = write_decoded(tmp_path, TINY, encoded if is_plain else as_f32(encoded))
    assert got == picture(tmp_path, decoded, dtype=dtype)[0]
    if not is_plain:
        assert got != picture(tmp_path, TINY, dtype=dtype)[0]


def test_rows_that_fit_no_block_stay_in_f32(tmp_path):
    """A model of width 96: a few tensors only can be quantised in blocks of 256."""
    tensors = forms.read(SMALL / "transformer" / forms.WEIGHTS)
    encoded = {name: forms.encode(t, "Q4_K") for name, t in tensors.items()}
    assert {t.form for t in encoded.values()} == {"F32", "Q4_K"}
    forms.write_gguf(tmp_path / "t.gguf", forms.bfl_transformer(encoded), alignment=64,
                     prefix="model.diffusion_model.")
    got = picture(tmp_path, SMALL, "--transformer-path", tmp_path / "t.gguf")[0]
    decoded = write_decoded(tmp_path, SMALL, as_f32(encoded))
    assert got == picture(tmp_path, decoded)[0]


def test_files_may_have_any_name_and_diffusers_names_too(tmp_path):
    """All networks as files at the top of the folder; only tokenizers and configs in folders."""
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    for part, name in (("transformer", "a"), ("vae", "b"), ("text_encoder", "c"),
                       ("text_encoder_2", "d")):
        weights = next((model / part).glob("*.safetensors"))
        weights.rename(model / f"{name}.safetensors")
    got, log = picture(tmp_path, model)
    assert log.count("(safetensors, diffusers names)") == 4
    assert got == picture(tmp_path, TINY)[0]


def test_replaced_autoencoder(tmp_path, bfl):
    got, log = picture(tmp_path, TINY, "--vae-path", bfl / "ae.safetensors")
    assert "vae: from" in log and "transformer: from" not in log
    assert got == picture(tmp_path, TINY)[0]


def test_complete_diffusers_folders_win_and_the_log_says_so(tmp_path):
    model = tmp_path / "both"
    shutil.copytree(TINY, model)
    (model / "flux1-dev.safetensors").write_bytes(b"not looked at")
    got, log = picture(tmp_path, model)
    assert "unread: flux1-dev.safetensors" in log
    assert got == picture(tmp_path, TINY)[0]


def test_incomplete_diffusers_folders_do_not(tmp_path, bfl):
    model = tmp_path / "half"
    shutil.copytree(bfl, model)
    index = {"weight_map": {"x": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (model / "transformer" / f"{forms.WEIGHTS}.index.json").write_text(json.dumps(index))
    assert "transformer: from" in picture(tmp_path, model)[1]


def test_server_reads_them_by_options_and_environment(tmp_path, start_server, bfl, monkeypatch):
    monkeypatch.setenv("FLUXSERVE_VAE_PATH", str(bfl / "ae.safetensors"))
    server = start_server("--model-path", str(TINY), "--transformer-path",
                          str(bfl / "flux1-dev.safetensors"))
    assert server.generate(size="128x64")[0] == 200
    assert "ae.safetensors" in server.log() and "flux1-dev.safetensors" in server.log()


def test_single_files_of_a_hub_make_a_model(tmp_path, bfl):
    """As docs/models.md fetches them; the tiny model needs its configs besides."""
    hub = FakeHub({str(path.relative_to(bfl)): path.read_bytes()
                   for path in sorted(bfl.rglob("*")) if path.is_file()})
    try:
        done = subprocess.run(
            [FLUXSERVE, "download", REPO, "--include", "flux1-dev.safetensors", "--include",
             "ae.safetensors", "--include", "text_encoder*", "--include", "tokenizer*",
             "--include", "*/config.json", "--include", "scheduler/*"],
            env=Client(hub, tmp_path / "home").environment, capture_output=True, text=True,
            timeout=300)
    finally:
        hub.close()
    assert done.returncode == 0, done.stderr
    model = pathlib.Path(done.stdout.strip())
    assert not (model / "model_index.json").exists()
    assert picture(tmp_path, model)[0] == picture(tmp_path, TINY, "--guidance-scale", "3.5")[0]


@pytest.mark.parametrize("quantization", ["int8", "q4"])
def test_what_was_decoded_can_be_quantised_again(tmp_path, transformer, quantization):
    encoded = {name: forms.encode(t, "Q8_0") for name, t in transformer.items()}
    forms.write_gguf(tmp_path / "t.gguf", forms.bfl_transformer(encoded))
    options = ("--quantization", quantization)
    got = picture(tmp_path, TINY, "--transformer-path", tmp_path / "t.gguf", *options)[0]
    decoded = write_decoded(tmp_path, TINY, as_f32(encoded))
    assert got == picture(tmp_path, decoded, *options)[0]
    assert got != picture(tmp_path, decoded)[0]


# --- configs that are not there ---------------------------------------------------------------------


def plan(*arguments):
    done = run("plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plan_reads_the_shape_from_the_tensors(tmp_path, bfl, transformer):
    assert plan("--model-path", bfl) == plan("--model-path", TINY)
    encoded = {name: forms.encode(t, "Q4_0") for name, t in transformer.items()
               if ".1." not in name and "guidance" not in name}
    assert len(encoded) < len(transformer)
    forms.write_gguf(tmp_path / "less.gguf", forms.bfl_transformer(encoded))
    less = plan("--model-path", TINY, "--transformer-path", tmp_path / "less.gguf")
    all_of_it = plan("--model-path", TINY)["parts"]["transformer"]
    assert less["parts"]["transformer"]["parameters"] < all_of_it["parameters"]
    assert less["parts"]["transformer"]["weight_dtype"] == "f32"
    assert plan("--model-path", TINY, "--transformer-path", tmp_path / "less.gguf", "--dtype",
                "bf16")["parts"]["transformer"]["weight_dtype"] == "bf16"


def test_another_kind_of_transformer_earns_a_warning(tmp_path, transformer):
    less = {name: t for name, t in transformer.items() if "guidance" not in name}
    forms.write_gguf(tmp_path / "t.gguf", forms.bfl_transformer(less))
    log = picture(tmp_path, TINY, "--transformer-path", tmp_path / "t.gguf")[1]
    assert log.count("takes no guidance") == 1


def sparse_flux(path, form="F16"):
    """FLUX.1-schnell's transformer in real size, a GGUF file that is all holes on the disk."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    import struct
    d, kind = 3072, GGMLQuantizationType[form]
    block, size = GGML_QUANT_SIZES[kind]
    half = GGMLQuantizationType.F16.value
    shapes = {"img_in": (d, 64), "txt_in": (d, 4096), "time_in.in_layer": (d, 256),
              "time_in.out_layer": (d, d), "vector_in.in_layer": (d, 768),
              "vector_in.out_layer": (d, d), "final_layer.linear": (64, d),
              "final_layer.adaLN_modulation.1": (2 * d, d)}
    scales = []
    for i in range(19):
        for side in ("img", "txt"):
            p = f"double_blocks.{i}.{side}"
            shapes |= {f"{p}_mod.lin": (6 * d, d), f"{p}_attn.qkv": (3 * d, d),
                       f"{p}_attn.proj": (d, d), f"{p}_mlp.0": (4 * d, d), f"{p}_mlp.2": (d, 4 * d)}
            scales += [f"{p}_attn.norm.query_norm.scale", f"{p}_attn.norm.key_norm.scale"]
    for i in range(38):
        p = f"single_blocks.{i}"
        shapes |= {f"{p}.modulation.lin": (3 * d, d), f"{p}.linear1": (7 * d, d),
                   f"{p}.linear2": (d, 5 * d)}
        scales += [f"{p}.norm.query_norm.scale", f"{p}.norm.key_norm.scale"]
    tensors = [(f"{name}.weight", shape, kind.value, shape[0] * shape[1] // block * size)
               if shape[1] % block == 0 else
               (f"{name}.weight", shape, half, shape[0] * shape[1] * 2)
               for name, shape in shapes.items()]
    tensors += [(f"{name}.bias", shape[:1], 0, 4 * shape[0]) for name, shape in shapes.items()]
    tensors += [(name, (128,), 0, 512) for name in scales]
    header, at = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0), 0
    for name, shape, number, n_bytes in tensors:
        header += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape))
        header += b"".join(struct.pack("<Q", n) for n in reversed(shape))
        header += struct.pack("<IQ", number, at)
        at += -(-n_bytes // 32) * 32
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(-(-len(header) // 32) * 32 + at)


def test_real_size_without_any_config_is_flux_schnell(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    sparse_flux(model / "flux1-schnell-Q4_K_S.gguf", "Q4_K")
    got = plan("--model-path", model, "--dtype", "bf16", "--max-sequence-length", 256)
    assert got == plan("--model-path", "black-forest-labs/FLUX.1-schnell", "--dtype", "bf16")
    by_name = plan("--model-path", "black-forest-labs/FLUX.1-dev", "--transformer-path",
                   model / "flux1-schnell-Q4_K_S.gguf")
    assert by_name["parts"]["transformer"]["parameters"] == got["parts"]["transformer"]["parameters"]


# --- what can't be read -----------------------------------------------------------------------------


def test_missing_and_wrong_files_are_named(tmp_path, bfl):
    assert "--transformer-path '/none.gguf': no such file" in refusal(
        "--model-path", TINY, "--transformer-path", "/none.gguf")
    assert "--vae-path" in refusal("--model-path", TINY, "--vae-path", tmp_path)
    text = refusal("--model-path", TINY, "--transformer-path", bfl / "ae.safetensors", code=1)
    assert "ae.safetensors: holds no FLUX.1 transformer" in text and "vector_in" in text
    text = refusal("--model-path", bfl / "ae.safetensors")
    assert "--transformer-path" in text
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03")
    text = refusal("--model-path", TINY, "--transformer-path", tmp_path / "x.gguf")
    assert "x.gguf" in text and "truncated" in text


def test_a_folder_of_other_models_is_refused(tmp_path):
    shutil.copy(ROOT / "tests/data/gguf/formats.gguf", tmp_path / "other.gguf")
    text = refusal("--model-path", tmp_path)
    assert "no part of FLUX.1 in other.gguf" in text


def test_a_truncated_download_is_told(tmp_path, transformer):
    forms.write_gguf(tmp_path / "t.gguf", forms.bfl_transformer(transformer))
    os.truncate(tmp_path / "t.gguf", (tmp_path / "t.gguf").stat().st_size // 2)
    text = refusal("--model-path", TINY, "--transformer-path", tmp_path / "t.gguf")
    assert "t.gguf: tensor '" in text and "truncated?" in text


def test_a_missing_tensor_is_named_as_the_file_would(tmp_path, transformer):
    tensors = forms.bfl_transformer(transformer)
    del tensors["double_blocks.0.img_mlp.2.weight"]
    forms.write_gguf(tmp_path / "t.gguf", tensors)
    text = refusal("--model-path", TINY, "--transformer-path", tmp_path / "t.gguf")
    assert "t.gguf: double_blocks.0.img_mlp.2.weight: missing" in text


def test_a_misshapen_tensor_is_named_both_ways(tmp_path, transformer):
    tensors = forms.bfl_transformer(transformer)
    tensors["double_blocks.0.img_mlp.2.weight"] = tensors["double_blocks.0.img_mlp.0.weight"]
    forms.write_gguf(tmp_path / "t.gguf", tensors)
    text = refusal("--model-path", TINY, "--transformer-path", tmp_path / "t.gguf")
    assert ("transformer_blocks.0.ff.net.2.weight: want [256, 1024], found in "
            "double_blocks.0.img_mlp.2.weight [1024, 256]") in text


def test_fp8_of_other_programs_is_refused_by_name(tmp_path, transformer):
    tensors = {name: forms.Raw("F8_E4M3", t.shape, t.rows[:, ::2])
               for name, t in forms.bfl_transformer(transformer).items()}
    forms.write_safetensors(tmp_path / "fp8.safetensors", tensors)
    text = refusal("--model-path", TINY, "--transformer-path", tmp_path / "fp8.safetensors")
    assert "fp8.safetensors: img_in.weight: dtype F8_E4M3 can't be used" in text


def test_two_transformers_in_a_folder_are_one_too_many(tmp_path, bfl):
    model = tmp_path / "model"
    shutil.copytree(bfl, model)
    shutil.copy(model / "flux1-dev.safetensors", model / "again.safetensors")
    text = refusal("--model-path", model)
    assert "again.safetensors" in text and "flux1-dev.safetensors" in text
    assert "--transformer-path" in text
    assert picture(tmp_path, model, "--transformer-path", model / "again.safetensors")[0]


def test_unknown_rotary_axes_need_the_config(tmp_path, bfl):
    model = tmp_path / "model"
    shutil.copytree(bfl, model)
    (model / "transformer/config.json").unlink()
    text = refusal("--model-path", model)
    assert "heads are 64 wide" in text and "transformer/config.json" in text


def test_a_folder_without_tokenizers_says_so(tmp_path, bfl):
    model = tmp_path / "model"
    shutil.copytree(bfl, model)
    shutil.rmtree(model / "tokenizer_2")
    assert "tokenizer_2" in refusal("--model-path", model, code=1)


def test_the_script_for_developers(tmp_path):
    import sys
    script = pathlib.Path(forms.__file__)
    subprocess.run([sys.executable, script, MODEL, tmp_path / "out", "Q8_0"], check=True)
    assert picture(tmp_path, tmp_path / "out")[0]
