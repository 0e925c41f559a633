"""The two text encoders and their pretraining.

The flow's loss alone would teach language slowly. The scene generator, however, knows what each
caption says: both encoders first learn to classify the attributes of the scene, CLIP from its
pooled vector, T5 through one attention query per attribute, with heads that are thrown away. The
flow then trains both on, at a small rate. No attention mask is used anywhere: the pipeline uses
none.
"""

import os
import random

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

import captions as grammar
import scenes
import tokens
from common import CLIP_LENGTH, T5_LENGTH, TEXT_WIDTH, Muon, Progress, say


def build(clip_tokenizer):
    n = len(clip_tokenizer)
    clip = CLIPTextModel(CLIPTextConfig(
        vocab_size=n, hidden_size=TEXT_WIDTH, intermediate_size=3 * TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CLIP_LENGTH,
        projection_dim=TEXT_WIDTH, bos_token_id=n - 2, eos_token_id=n - 1, pad_token_id=n - 1,
        hidden_act="quick_gelu"))
    t5 = T5EncoderModel(T5Config(
        vocab_size=tokens.N_T5_PIECES + tokens.N_EXTRA_IDS, d_model=TEXT_WIDTH, d_kv=64,
        d_ff=2 * TEXT_WIDTH, num_layers=3, num_heads=2, feed_forward_proj="gated-gelu",
        dropout_rate=0.0, tie_word_embeddings=False, pad_token_id=0, eos_token_id=1))
    t5.get_input_embeddings().weight.data.mul_(0.5)
    return clip, t5


def load(folder):
    return (CLIPTextModel.from_pretrained(os.path.join(folder, "text_encoder")),
            T5EncoderModel.from_pretrained(os.path.join(folder, "text_encoder_2")))


def save(folder, clip, t5):
    clip.save_pretrained(os.path.join(folder, "text_encoder"))
    t5.save_pretrained(os.path.join(folder, "text_encoder_2"))


def tokenize(tokenizers, captions):
    clip, t5 = tokenizers
    # Positions after the end token do not reach it, so the shortest padding gives the same.
    return (clip(captions, padding="longest", truncation=True, max_length=CLIP_LENGTH,
                 return_tensors="pt").input_ids,
            t5(captions, padding="max_length", truncation=True, max_length=T5_LENGTH,
               return_tensors="pt").input_ids)


def encode(clip, t5, ids):
    """The pooled vector [B, D] and the sequence [B, L, D] that condition the transformer."""
    return clip(ids[0]).pooler_output, t5(ids[1]).last_hidden_state


class AttributeHeads(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = scenes.ATTRIBUTE_SIZES
        self.queries = nn.Parameter(torch.randn(len(sizes), TEXT_WIDTH) * 0.1)
        self.of_pooled = nn.ModuleList(nn.Linear(TEXT_WIDTH, n) for n in sizes)
        self.of_sequence = nn.ModuleList(nn.Linear(TEXT_WIDTH, n) for n in sizes)

    def forward(self, pooled, sequence):
        weights = (sequence @ self.queries.T / 3).softmax(1)
        found = torch.einsum("blk,bld->bkd", weights, sequence)
        return ([head(pooled) for head in self.of_pooled],
                [head(found[:, i]) for i, head in enumerate(self.of_sequence)])


def pretrain(folder, minutes=None, n_steps=None, batch=128, seed=5):
    torch.manual_seed(seed)
    r = random.Random(seed)
    tokenizers = tokens.load(folder)
    clip, t5 = build(tokenizers[0])
    heads = AttributeHeads()
    named = [(f"{prefix}.{name}", p) for prefix, module in
             (("clip", clip), ("t5", t5), ("heads", heads))
             for name, p in module.named_parameters()]
    optimizer = Muon(named, 2e-3, adam_only=("embed", "shared", "relative", "heads.", "norm"))
    progress = Progress(n_steps, minutes, fall=0.5)
    while progress.fraction() < 1:
        batch_of = [scenes.sample(r) for _ in range(batch)]
        captions = [grammar.caption(s, r) for s in batch_of]
        wanted = torch.tensor([scenes.attributes(s) for s in batch_of])
        guesses = heads(*encode(clip, t5, tokenize(tokenizers, captions)))
        loss = sum(F.cross_entropy(g, wanted[:, i])
                   for side in guesses for i, g in enumerate(side))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizer.step(progress.rate())
        progress.step += 1
        if progress.step % 20 == 0 or progress.fraction() >= 1:
            right = [sum((g.argmax(1) == wanted[:, i]).float().mean().item()
                         for i, g in enumerate(side)) / len(side) for side in guesses]
            say(f"text step {progress.step} loss {loss.item():.3f} attributes right: "
                f"clip {right[0]:.4f} t5 {right[1]:.4f}")
    save(folder, clip, t5)
