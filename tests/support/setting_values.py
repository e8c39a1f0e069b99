"""Settings of every legal value, as hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting

kv_settings = st.builds(
    KVSetting,
    k_bits=st.sampled_from(BITS),
    v_bits=st.sampled_from((*BITS, 16)),
    group_size=st.sampled_from(GROUP_SIZES),
    start=st.integers(0, 10**6),
    path=st.sampled_from(("deployed", "dequantized")),
) | st.builds(KVSetting, k_bits=st.just(16), v_bits=st.sampled_from(BITS))
