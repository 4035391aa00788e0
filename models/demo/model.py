"""The demo model's network: SmolLM3's structure at a small size, in PyTorch.

Weights are named and laid out as in the GGUF file (rows = outputs), RoPE turns adjacent pairs (2i, 2i+1) as the
file's convention has it, and layers with (i + 1) % 4 == 0 have no position encoding. The head is the embedding.

Training keeps float32 master weights and multiplies in bfloat16. On the CPU the parts that PyTorch is slow at are written by
hand; on a GPU its own fused ones are used, and the attention falls back to the one here.
"""
from dataclasses import dataclass
import functools

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Config:
    vocab: int = 4096
    hidden: int = 256
    layers: int = 6
    ffn: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    rope_base: float = 5_000_000.0
    epsilon: float = 1e-6
    context: int = 4096

    @staticmethod
    def of(weights):
        """The configuration of a network's weights, where the number and the size of its heads are the usual ones."""
        vocab, hidden = weights["token_embd.weight"].shape
        layers = sum(name.endswith(".ffn_gate.weight") for name in weights)
        return Config(vocab, hidden, layers, weights["blk.0.ffn_gate.weight"].shape[0])

    def has_rope(self, layer):
        return (layer + 1) % 4 != 0

    def shapes(self):
        """Tensor name -> shape (rows, columns), in the order of the file."""
        q, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        out = {"token_embd.weight": (self.vocab, self.hidden)}
        for i in range(self.layers):
            b = f"blk.{i}."
            out[b + "attn_norm.weight"] = (self.hidden,)
            out[b + "attn_q.weight"] = (q, self.hidden)
            out[b + "attn_k.weight"] = (kv, self.hidden)
            out[b + "attn_v.weight"] = (kv, self.hidden)
            out[b + "attn_output.weight"] = (self.hidden, q)
            out[b + "ffn_norm.weight"] = (self.hidden,)
            out[b + "ffn_gate.weight"] = (self.ffn, self.hidden)
            out[b + "ffn_up.weight"] = (self.ffn, self.hidden)
            out[b + "ffn_down.weight"] = (self.hidden, self.ffn)
        out["output_norm.weight"] = (self.hidden,)
        return out


CONSTANT, OUTPUT_GAIN = 4.0, 0.05  # what stands in every token's first place at the start; the last norm's gain


def initial_weights(config, seed):
    """Random matrices, those that write to the residual stream zero, and a copying circuit put in by hand (see below)."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(shape, generator=generator)
    weights = {}
    for name, shape in config.shapes().items():
        if len(shape) == 1:
            weights[name] = torch.ones(shape)
        elif "attn_output" in name or "ffn_down" in name:
            weights[name] = torch.zeros(shape)
        else:
            weights[name] = normal(*shape) * (1.0 if name.startswith("token_embd") else shape[1] ** -0.5)
    weights["token_embd.weight"][:, 0] = CONSTANT
    weights["output_norm.weight"] *= OUTPUT_GAIN
    put_in_copying(weights, config, torch.linalg.qr(normal(config.hidden - 1, config.hidden - 1))[0])
    return weights


def put_in_copying(weights, config, basis):
    """Start with what small models take long to find: "after the three tokens that I am at came, last time, this one".

    Three heads of layer 0 look one, two and three tokens back, by position, and write what stood there (projected to the
    directions `here`) into directions of their own, `back`. Heads of layer 3, which has no positions, look for the place
    whose last three tokens are the present one and the two before it, and write that place's own token (directions
    `copied`) to the output. `basis`: orthonormal rows that leave the constant first place alone.
    """
    size, match_layer, match_scale, copy_scale = config.head_size, 3, 1.7, 6.0
    rank = size // 3
    group = config.heads // config.kv_heads
    directions = list(torch.cat([torch.zeros(config.hidden - 1, 1), basis], 1).split([rank] * 4 + [size, size, config.hidden - 1 - 4 * rank - 2 * size]))
    here, back, copied = directions[0], directions[1:4], directions[4:6]
    part = lambda name, layer, head: weights[f"blk.{layer}.{name}.weight"][head * size:(head + 1) * size]
    output = lambda layer, head: weights[f"blk.{layer}.attn_output.weight"][:, head * size:(head + 1) * size]

    # score at distance d: sum over the four fastest pairs of |a|^2 cos(frequency * (d - distance)), largest at d = distance
    frequency = config.rope_base ** (-torch.arange(4, dtype=torch.float64) / (size // 2))
    amplitude = 2.0
    for kv in range(config.kv_heads):
        part("attn_k", 0, kv)[:] = 0
        part("attn_k", 0, kv)[0:8:2, 0] = amplitude
        part("attn_v", 0, kv)[:rank] = here
    for head, distance in enumerate((1, 2, 3)):
        part("attn_q", 0, head)[:] = 0
        part("attn_q", 0, head)[0:8:2, 0] = amplitude * (frequency * distance).cos().float()
        part("attn_q", 0, head)[1:8:2, 0] = -amplitude * (frequency * distance).sin().float()
        output(0, head)[:, :rank] = 2 * back[head].t()

    for kv in range(config.kv_heads):
        part("attn_q", match_layer, kv * group)[:3 * rank] = match_scale * torch.cat([here, back[0] / 2, back[1] / 2])
        part("attn_k", match_layer, kv)[:3 * rank] = match_scale * torch.cat(back)
        part("attn_q", match_layer, kv * group)[3 * rank:] = 0
        part("attn_v", match_layer, kv)[:] = copied[kv]
        output(match_layer, kv * group)[:] = copy_scale * copied[kv].t()


class RmsNorm(torch.autograd.Function):
    """y = x / sqrt(mean(x^2) + epsilon) * gain, in the type of x, statistics in float32."""

    @staticmethod
    def forward(ctx, x, gain, epsilon):
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square_() / x.shape[-1]
        scale = mean_square.add_(epsilon).rsqrt_().to(x.dtype)
        unit = x * scale
        ctx.save_for_backward(unit, scale, gain)
        return unit * gain.to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        unit, scale, gain = ctx.saved_tensors
        width = unit.shape[-1]
        d_gain = (dy * unit).reshape(-1, width).sum(0, dtype=torch.float32)
        dy = dy * gain.to(dy.dtype)
        inner = (dy * unit).sum(-1, keepdim=True, dtype=torch.float32).div_(width).to(dy.dtype)
        return (dy - unit * inner) * scale, d_gain, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up, keeping only its two inputs for the way back."""

    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.silu(gate) * up

    @staticmethod
    def backward(ctx, dy):
        gate, up = ctx.saved_tensors
        sigmoid = torch.sigmoid(gate)
        silu = gate * sigmoid
        return dy * up * (sigmoid + silu - silu * sigmoid), dy * silu


def rms_norm(x, gain, epsilon):
    if x.is_cuda and hasattr(F, "rms_norm"):
        return F.rms_norm(x, gain.shape, gain.to(x.dtype), epsilon)
    return RmsNorm.apply(x, gain, epsilon)


def swiglu(gate, up):
    return F.silu(gate) * up if gate.is_cuda else SwiGlu.apply(gate, up)


@functools.lru_cache(maxsize=8)
def rope_table(config, length, dtype, device="cpu"):
    """cos and signed sin, (length, head_size), each angle twice as the two of a pair share it."""
    half = config.head_size // 2
    frequency = config.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = (torch.arange(length, dtype=torch.float64)[:, None] * frequency).repeat_interleave(2, 1)
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(half)
    return angle.cos().to(device, dtype), (angle.sin() * sign).to(device, dtype)


class Rope(torch.autograd.Function):
    """Turns adjacent pairs of x (batch, position, head, head_size)."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return x * cos + x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * sin

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        return dy * cos - dy.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * sin, None, None


class Attention(torch.autograd.Function):
    """Causal softmax(q k^T / sqrt(d)) v, keeping the probabilities.

    q: (batch x kv heads, group x position, d), k and v: (batch x kv heads, position, d);
    the query heads of a group are stacked along the rows, so grouped-query attention is one product per kv head.
    """

    @staticmethod
    def forward(ctx, q, k, v, mask):
        scale = q.shape[-1] ** -0.5
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)
        p = torch.softmax(scores, -1)
        ctx.save_for_backward(q, k, v, p)
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx, dy):
        q, k, v, p = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        dv = torch.bmm(p.transpose(1, 2), dy)
        ds = torch._softmax_backward_data(torch.bmm(dy, v.transpose(1, 2)), p, -1, p.dtype)
        ds = ds * scale
        return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), dv, None


def attention(q, k, v):
    """Causal attention: q (B, T, heads, d), k and v (B, T, kv heads, d) -> (B, T, heads * d)."""
    batch, length, heads, size = q.shape
    kv_heads = k.shape[2]
    group = heads // kv_heads
    if q.is_cuda and hasattr(F, "scaled_dot_product_attention"):
        k, v = (t[:, :, :, None].expand(-1, -1, -1, group, -1).reshape(q.shape) for t in (k, v))
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return y.transpose(1, 2).reshape(batch, length, heads * size)
    mask = causal_mask(length, group, q.dtype, str(q.device))
    q = q.view(batch, length, kv_heads, group, size).permute(0, 2, 3, 1, 4).reshape(batch * kv_heads, group * length, size)
    k = k.transpose(1, 2).reshape(batch * kv_heads, length, size)
    v = v.transpose(1, 2).reshape(batch * kv_heads, length, size)
    y = Attention.apply(q, k, v, mask)
    y = y.view(batch, kv_heads, group, length, size).permute(0, 3, 1, 2, 4)
    return y.reshape(batch, length, heads * size)


@functools.lru_cache(maxsize=64)
def causal_mask(length, group, dtype, device="cpu"):
    """(1, group x length, length): 0 where a query may look, a very negative number elsewhere."""
    return torch.full((length, length), -1e9).triu_(1).repeat(group, 1)[None].to(device, dtype)


def forward(weights, config, tokens, at, dtype=torch.bfloat16):
    """tokens (B, T) -> hidden states after the last norm (n, hidden) in `dtype`, at n positions of the flattened batch.

    The last layer computes its queries' outputs there only: most training tokens carry no loss.
    """
    c = config
    batch, length = tokens.shape
    cos, sin = (t[:length, None, :] for t in rope_table(c, -(-length // 512) * 512, dtype, str(tokens.device)))
    x = F.embedding(tokens, weights["token_embd.weight"]).to(dtype)
    for i in range(c.layers):
        w = lambda name: weights[f"blk.{i}.{name}.weight"].to(dtype)
        h = rms_norm(x, weights[f"blk.{i}.attn_norm.weight"], c.epsilon)
        qkv = F.linear(h, torch.cat([w("attn_q"), w("attn_k"), w("attn_v")])).view(batch, length, -1, c.head_size)
        qk, v = qkv.split([c.heads + c.kv_heads, c.kv_heads], 2)
        if c.has_rope(i):
            qk = Rope.apply(qk, cos, sin)
        y = attention(*qk.split([c.heads, c.kv_heads], 2), v)
        if i == c.layers - 1:
            x, y = x.flatten(0, 1).index_select(0, at), y.flatten(0, 1).index_select(0, at)
        x = x + F.linear(y, w("attn_output"))
        h = rms_norm(x, weights[f"blk.{i}.ffn_norm.weight"], c.epsilon)
        x = x + F.linear(swiglu(F.linear(h, w("ffn_gate")), F.linear(h, w("ffn_up"))), w("ffn_down"))
    return rms_norm(x, weights["output_norm.weight"], c.epsilon)


def logits(weights, hidden):
    return F.linear(hidden, weights["token_embd.weight"].to(hidden.dtype))
