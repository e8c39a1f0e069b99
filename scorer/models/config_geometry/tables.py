"""What mlx-lm's architectures call their sizes and take where ``config.json`` leaves one out.

Only what the shape of the KV cache needs. A test holds these tables against the classes of the
installed mlx-lm.
"""

from __future__ import annotations

# Wrappers around a text model: the module whose attention decides. `mistral3` asks its text config.
TEXT_MODEL = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n",
    "gemma4": "gemma4_text",
    "kimi_k25": "deepseek_v3",
    "kimi_k3": "kimi_k3",
    "kimi_vl": "deepseek_v3",
    "lfm2-vl": "lfm2",
    "llama4": "llama4",
    "minimax_m3_vl": "minimax_m3_vl",
    "mistral3": "llama",
    "muse_spark": "muse_spark",
    "pixtral": "llama",
    "prism_hadamard_qwen35": "qwen3_5",
    "qwen2_vl": "qwen2",
    "qwen3_5": "qwen3_5",
    "qwen3_5_moe": "qwen3_5",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
}
MISTRAL3_TEXT_MODELS = ("ministral3", "mistral4")

# What a wrapper sets in its text config before the text model's own defaults apply.
WRAPPER_DEFAULTS = {
    "gemma3": {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208},
    "gemma4": {"num_attention_heads": 8, "num_key_value_heads": 1, "vocab_size": 262144},
    "pixtral": {"num_attention_heads": 32},
}

_DEEPSEEK_MLA = {
    "hidden_size": 4096,
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 102400,
}


def _sizes(
    hidden: int | None = None,
    layers: int | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    vocab: int | None = None,
    **others: int,
) -> dict[str, int]:
    named = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
    }
    return {name: value for name, value in named.items() if value is not None} | others


DEFAULTS: dict[str, dict[str, int]] = {
    "afmoe": _sizes(2048, 32, 32, 4, 64, 200192, sliding_window=2048),
    "bailing_moe_v3": _sizes(
        1536,
        24,
        16,
        None,
        128,
        157184,
        layer_group_size=4,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
    ),
    "cohere": _sizes(8192, 40, 64, 64, None, 256000),
    "cohere2": _sizes(4096, 32, 32, 8, 128, 256000, sliding_window=4096, sliding_window_pattern=4),
    "deepseek": _sizes(4096, 30, 32, 32, None, 102400),
    "deepseek_v2": _DEEPSEEK_MLA,
    "deepseek_v3": _DEEPSEEK_MLA,
    "deepseek_v32": _DEEPSEEK_MLA | {"index_head_dim": 128},
    "falcon_h1": _sizes(1024, 36, 8, 2, 64, 32784),
    "gear": {"sliding_window": 512},
    "gemma3_text": _sizes(
        1152, 26, 4, 1, 256, 262144, sliding_window=512, sliding_window_pattern=6
    ),
    "gemma4_text": _sizes(
        1536,
        35,
        8,
        1,
        256,
        262144,
        global_head_dim=512,
        num_kv_shared_layers=20,
        sliding_window=512,
        sliding_window_pattern=5,
    ),
    "glm4_moe_lite": _sizes(
        2048,
        47,
        20,
        20,
        None,
        154880,
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        qk_nope_head_dim=192,
        v_head_dim=256,
    ),
    "gpt_oss": _sizes(2880, 36, 64, 8, 64, 201088, sliding_window=128),
    "gptj": {"n_embd": 4096, "n_head": 16, "n_layer": 28, "vocab_size": 50400},
    "iquestloopcoder": {"loop_num": 2, "loop_window_size": 64},
    "kimi_k3": _sizes(7168, 93, 96, 96, None, 163840),
    "laguna": _sizes(2048, 40, 48, 8, 128, 100352, sliding_window=512),
    "minimax_m3_vl": _sizes(6144, 60, 64, 4, 128, 200064),
    "mixtral": _sizes(4096, 32, 32, 8, None, 32000),
    "muse_glimmer": _sizes(6656, 52, 32, 2, 128, 202048, sliding_window=2048),
    "nanbeige": {"num_loops": 1},
    "nanochat": _sizes(1280, 20, 10, 10, None, 65536),
    "nemotron-nas": _sizes(8192, 80, 64, None, None, 128256),
    "phi": _sizes(2560, 32, 32, 32, None, 51200),
    "phimoe": _sizes(4096, 32, 32, 8, None, 32064),
    "phixtral": {"model_dim": 2560, "num_heads": 32, "num_layers": 32, "num_vocab": 51200},
    "plamo": {"n_shared_head": 8},
    "plamo2": _sizes(4096, 32, 32, 4, None, 32000, hidden_size_per_head=128, mamba_step=2),
    "plamo3": _sizes(4096, 32, 32, 4, 128, 32000, window_size=2048, sliding_window_pattern=8),
    "qwen": _sizes(2048, 24, 16, None, None, 151936, kv_channels=128),
    "qwen3_5": _sizes(4096, 32, 32, 8, None, 151936, full_attention_interval=4),
    "qwen3_next": {"full_attention_interval": 4},
    "starcoder2": {"vocab_size": 49152},
    "step3p5": {"sliding_window": 512},
    "talkie": _sizes(5120, 40, 40, None, 128, 65540),
    "youtu_llm": _sizes(
        2048,
        32,
        16,
        16,
        None,
        128256,
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        v_head_dim=128,
        qk_nope_head_dim=128,
    ),
}

_GPT = {"hidden_size": "n_embd", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}
_DBRX = {
    "hidden_size": "d_model",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
}

# Usual name to the architecture's own.
RENAMED: dict[str, dict[str, str]] = {
    "afm7": {
        "hidden_size": "hidden_dim",
        "num_attention_heads": "num_heads",
        "num_key_value_heads": "num_kv_heads",
        "num_hidden_layers": "num_layers",
    },
    "dbrx": _DBRX,
    "exaone": {"num_hidden_layers": "num_layers"},
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gptj": _GPT,
    "lille-130m": _GPT | {"num_key_value_heads": "n_kv_heads"},
    "longcat_flash": {"num_hidden_layers": "num_layers"},
    "longcat_flash_ngram": {"num_hidden_layers": "num_layers"},
    "olmo": _DBRX,
    "openelm": {"num_hidden_layers": "num_transformer_layers"},
    "phixtral": {
        "hidden_size": "model_dim",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "vocab_size": "num_vocab",
    },
    "plamo2": {"head_dim": "hidden_size_per_head"},
    "qwen": {"head_dim": "kv_channels"},
    "step3p5": {"num_key_value_heads": "num_attention_groups"},
}

# Head dimension = hidden size / heads, whatever a `head_dim` in the file says.
HEAD_DIM_DERIVED = frozenset(
    "Klear afm7 apertus baichuan_m1 bailing_moe cohere dbrx deepseek gpt2 gpt_bigcode gpt_neox gptj"
    " granite granitemoe granitemoehybrid helium hunyuan internlm2 internlm3 jamba lfm2 lfm2_moe"
    " lille-130m mimo minicpm mixtral nanochat nemotron-nas olmo phi phi3 phi3small phimoe phixtral"
    " plamo qwen2 qwen2_moe recurrent_gemma stablelm starcoder2".split()
)

# One key and value head per attention head, whatever the file says.
MULTI_HEAD = frozenset("gpt2 gpt_neox gptj olmo phixtral qwen talkie".split())

# One full cache per layer and nothing else.
DENSE = (
    HEAD_DIM_DERIVED
    | MULTI_HEAD
    | frozenset(
        "bitnet dots1 ernie4_5 ernie4_5_moe exaone falcon_h1 gemma gemma2 glm glm4 glm4_moe"
        " hunyuan_v1_dense llama4_text minimax nemotron olmo2 olmoe qwen3 qwen3_moe seed_oss"
        " smollm3 solar_open telechat3".split()
    )
)
