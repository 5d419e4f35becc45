"""Attention over inputs in one row against its definition; the CUDA kernel too, where there is a card."""

from itertools import accumulate

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.engines.torch_attention import attention  # noqa: E402

LENGTHS = [1, 5, 64, 130]
KEPT = [40, 0, 200, 3]
"""Keys that a generator has of the tokens before."""
HEADS, GROUPS, SIZE = 4, 2, 32
DEVICES = {"cpu": torch.float32, **({"cuda": torch.float16} if torch.cuda.is_available() else {})}


def bounds(lengths, device):
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def defined(query, key, value, window, causal):
    """One input alone: query (heads, queries, size), its keys and their values, in float32."""
    key, value = (states.repeat_interleave(HEADS // GROUPS, dim=0) for states in (key, value))
    logits = query @ key.transpose(1, 2) * SIZE**-0.5
    queries, keys = logits.shape[1:]
    distance = torch.arange(queries)[:, None] + keys - queries - torch.arange(keys)
    unread = (distance < 0) & causal | (distance.abs() >= (window or keys))
    return logits.masked_fill(unread, -torch.inf).softmax(dim=-1) @ value


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("window", [None, 7, 1000])
@pytest.mark.parametrize(("causal", "kept"), [(False, [0] * 4), (True, [0] * 4), (True, KEPT)])
def test_each_input_reads_its_own_keys_only(device, window, causal, kept):
    torch.manual_seed(0)
    keys = [new + old for new, old in zip(LENGTHS, kept, strict=True)]
    query = torch.randn(1, HEADS, sum(LENGTHS), SIZE)
    key, value = (torch.randn(1, GROUPS, sum(keys), SIZE) for _ in range(2))
    found, _ = attention(
        None,
        *(states.to(device, DEVICES[device]) for states in (query, key, value)),
        None,
        sliding_window=window,
        is_causal=causal,
        cu_seq_lens_q=bounds(LENGTHS, device),
        max_length_q=max(LENGTHS),
        cu_seq_lens_k=bounds(keys, device),
        max_length_k=max(keys),
    )
    assert found.shape == (1, sum(LENGTHS), HEADS, SIZE)
    expected = [
        defined(q, k, v, window, causal)
        for q, k, v in zip(
            query[0].split(LENGTHS, dim=1), key[0].split(keys, dim=1), value[0].split(keys, dim=1), strict=True
        )
    ]
    tolerance = 1e-5 if device == "cpu" else 5e-3
    assert (found[0].transpose(0, 1).float().cpu() - torch.cat(expected, dim=1)).abs().max() < tolerance


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("groups", [HEADS, GROUPS])
def test_the_kernel_takes_what_it_is_called_with(groups, window):
    """Without a card: torch's own check of the arguments, and the shape of the result, on tensors without memory."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415  no public name yet

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        states = [
            torch.empty(1, heads, sum(LENGTHS), SIZE, device="cuda", dtype=torch.float16)
            for heads in (HEADS, groups, groups)
        ]
        found, _ = attention(
            None,
            *states,
            None,
            sliding_window=window,
            is_causal=True,
            cu_seq_lens_q=torch.empty(len(LENGTHS) + 1, dtype=torch.int32, device="cuda"),
            max_length_q=max(LENGTHS),
        )
        assert found.shape == (1, sum(LENGTHS), HEADS, SIZE)
        assert (found.device.type, found.dtype) == ("cuda", torch.float16)
