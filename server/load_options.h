/* How a model is loaded, as options say it: shared by the commands that load or plan one. */
#pragma once

#include "flux/flux.h"

#define LOAD_FORMATS "auto|dummy"
#define LOAD_FORMAT_HELP                                                                          \
    "auto: the checkpoint's weights. dummy: random weights of the same shapes, for a known name " \
    "or any directory with configs; nothing is downloaded but configs (default auto)"
#define NUM_LAYERS_HELP \
    "only the first D double and S single blocks of the transformer (default: all)"
#define TEXT_OFFLOAD_HELP                                                                          \
    "keep both text encoders in host memory and bring them to the device layer by layer for each " \
    "prompt; no effect on the CPU"
#define LAYERWISE_OFFLOAD_HELP                                                                \
    "the same for the transformer's blocks, in every step: a model of any size fits, at the " \
    "speed "                                                                                  \
    "of the bus; no effect on the CPU"
#define PIN_HELP                                                                                   \
    "page-lock that host memory, so that a layer is copied while the one before it computes; has " \
    "an effect with either of these"
#define VAE_TILING_HELP                                                                          \
    "decode and encode pictures in overlapping tiles as large as the autoencoder was made for, " \
    "1024 "                                                                                      \
    "pixels for FLUX.1: less memory for larger pictures"
#define VAE_TILE_SIZE_HELP                                                                      \
    "the same in tiles of so many pixels, a multiple of 32 for FLUX.1: smaller ones take less " \
    "memory "                                                                                   \
    "and change pictures more"

#define MODEL_PATH_HELP                                                                          \
    "model directory: the diffusers layout, or FLUX.1's single files (.safetensors, .gguf); or " \
    "owner/name[@revision] of a hub; without it the embedded small model"
#define TRANSFORMER_PATH_HELP                                                                \
    "take the transformer from this .gguf or .safetensors file instead; the rest stays the " \
    "model's"
#define VAE_PATH_HELP "take the autoencoder from this .safetensors file instead"
#define ROUNDS_INPUTS_HELP                                                                        \
    "with an int8 or fp8 transformer: round the activations to that type as well, so that "       \
    "devices "                                                                                    \
    "multiply 8 bits by 8 bits, faster than bf16; changes pictures (fp8: compute capability 8.9 " \
    "or later)"
#define PROFILE_STEPS_HELP                                                                       \
    "time steps FIRST to LAST, counted from 0, by range and operation, and have profilers such " \
    "as "                                                                                        \
    "nsys --capture-range=cudaProfilerApi record just them; one number is one step"
#define QUANTIZATIONS "none|int8|fp8|q4" /* as enum quant */
#define QUANTIZATION_HELP                                                                      \
    "keep the matrices of the transformer and of T5 as int8, fp8 or 4-bit numbers, quantised " \
    "when the model is loaded (default none: as the checkpoint has them)"

enum load_format { LOAD_AUTO, LOAD_DUMMY }; /* as LOAD_FORMATS */

/* Fields as option tables fill them in. */
struct load_wish {
    int format, quantization;
    const char *num_layers; /* "D,S" or NULL */
    bool rounds_inputs;
    bool offloads_text, offloads_layers, pins;
    bool tiles_vae;
    int64_t vae_tile_px;                     /* 0: not given */
    const char *transformer_path, *vae_path; /* files, or NULL */
};

/* ERR_INVALID when --num-layers is malformed or a file is not there; whether the model has so many
 * blocks, whether tiles of that size are possible, and what is in the file, is flux_open_as'
 * question. */
bool load_options_read(struct flux_load *load, const struct load_wish *wish, struct error *err);

/* Say which of the options have no effect on a back end ("cpu" or "cuda"): one warning each. */
void load_options_warn_backend(const struct load_wish *wish, const char *backend);

/* What is needed of a model, enum model_content. */
unsigned load_options_content(const struct flux_load *load);

/* Warn that pictures of random weights show nothing. */
void load_options_warn(const struct flux_load *load);
