/* The autoencoder between pixels and latents: a convolutional encoder and decoder whose levels
 * halve or double the resolution. Feature maps are channels last, [1, Y, X, C].
 * Source: Rombach et al. 2022 (latent diffusion), appendix; Esser et al. 2021 (VQGAN). */
#pragma once

#include "flux/config.h"
#include "flux/layers.h"

struct resnet {
    struct norm norm1, norm2;
    struct conv conv1, conv2;
    struct linear shortcut; /* 1x1 convolution; none when the channels stay */
};

struct mid_block {
    struct resnet resnets[2];
    struct norm group_norm;
    struct linear to_q, to_k, to_v, to_out;
};

struct level {
    struct resnet *resnets; /* owned */
    int n_resnets;
    struct conv resample; /* behind the upsampling, or itself of stride 2; none on the last level */
};

/* Encoder and decoder have the same skeleton, in different order. */
struct vae_half {
    struct conv conv_in, conv_out;
    struct mid_block mid;
    struct level *levels; /* owned; in the order they are run */
    struct norm conv_norm_out;
};

struct vae {
    struct vae_config config;
    struct vae_half encoder, decoder;
    bool has_encoder;
    struct linear quant_conv, post_quant_conv; /* 1x1 convolutions, or none */
};

/* with_encoder false leaves the encoder out (checkpoints for text-to-image alone). */
void vae_bind(struct vae *m, const struct vae_config *config, struct weights *w, bool with_encoder);
void vae_free(struct vae *m);

/* image [1, Y f, X f, 3] = decode(latent [1, Y, X, C]), nominally in -1..1. */
void vae_decode(struct backend *b, const struct vae *m, struct tensor image, struct tensor latent);

/* moments [1, Y, X, 2 C] = encode(image [1, Y f, X f, 3]): mean, then log-variance. */
void vae_encode(struct backend *b, const struct vae *m, struct tensor moments, struct tensor image);
