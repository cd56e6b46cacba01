import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import einsum


class PatchEmbedding(nn.Module):
    def __init__(self, image_size, patch_size, in_channels, embed_dim):
        super().__init__()
        assert image_size % patch_size == 0
        self.num_patches = (image_size // patch_size) ** 2
        self.cut = nn.Unfold(kernel_size=patch_size, stride=patch_size)
        self.weight = nn.Parameter(torch.randn(embed_dim, in_channels * patch_size * patch_size) * 0.1)
        self.bias = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, images):
        # Unfold gives B x (C p p) x N
        return einsum("bfn,df->bnd", self.cut(images), self.weight) + self.bias


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.h = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.h, -1)) for layer in (self.query, self.key, self.value))  # B N h d
        a = einsum("bqhd,bkhd->bhqk", q, k) * q.size(-1) ** -0.5
        a = a.softmax(-1)
        return self.out(einsum("bhqk,bkhd->bqhd", a, v).flatten(-2))


class MLP(nn.Module):
    def __init__(self, d, hidden, dropout):
        super().__init__()
        self.up, self.down, self.drop = nn.Linear(d, hidden), nn.Linear(hidden, d), nn.Dropout(dropout)

    def forward(self, x):
        return self.drop(self.down(F.gelu(self.up(x))))


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, mlp_dim, dropout):
        super().__init__()
        self.ln_a, self.ln_m = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.attn = MultiHeadSelfAttention(embed_dim, num_heads)
        self.mlp = MLP(embed_dim, mlp_dim, dropout)

    def forward(self, x):
        x = x + self.attn(self.ln_a(x))
        x = x + self.mlp(self.ln_m(x))
        return x


class VisionTransformer(nn.Module):
    def __init__(self, image_size, patch_size, in_channels, embed_dim, num_heads, mlp_dim, num_layers, num_classes, dropout):
        super().__init__()
        self.embed = PatchEmbedding(image_size, patch_size, in_channels, embed_dim)
        self.cls = nn.Parameter(torch.randn(embed_dim) * 0.02)
        self.pos = nn.Parameter(torch.zeros(self.embed.num_patches + 1, embed_dim))
        self.body = nn.Sequential(*[TransformerBlock(embed_dim, num_heads, mlp_dim, dropout) for _ in range(num_layers)])
        self.ln = nn.LayerNorm(embed_dim)
        self.classify = nn.Linear(embed_dim, num_classes)

    def forward(self, images):
        x = self.embed(images)
        cls = self.cls.repeat(x.size(0), 1, 1)
        x = torch.cat((cls, x), 1) + self.pos
        return self.classify(self.ln(self.body(x))[:, 0])


def train(model, images, labels, steps):
    model = model.cuda()
    images, labels = images.cuda(), labels.cuda()  # small enough to be there at once
    model.train()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, order = [], torch.tensor([], dtype=torch.long)
    for step in range(steps):
        if len(order) < 64:
            order = torch.randperm(len(images))  # next epoch
        now, order = order[:64], order[64:]
        loss = F.cross_entropy(model(images[now]), labels[now])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        losses.append(float(loss.detach()))
        if step % 10 == 9:
            print(json.dumps({"step": step, "loss": sum(losses[-10:]) / 10}), flush=True)
    return losses


def predict(model, images):
    model.eval()
    with torch.inference_mode():
        return model(images.to(model.cls.device)).max(1).indices.cpu()
