"""Which shapes of a KV cache a setting can quantize."""

from __future__ import annotations

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import FULL_PRECISION, KVSetting


def check_groups(settings: tuple[KVSetting, ...], geometry: KVGeometry) -> None:
    """Refuse a group size that does not divide a dimension it has to.

    Raises:
        InputError: Names the setting, the dimension and the groups that would do.
    """
    for setting in settings:
        for layer in geometry.layers:
            for bits, dim in ((setting.k_bits, layer.k_dim), (setting.v_bits, layer.v_dim)):
                if bits != FULL_PRECISION and dim % setting.group_size:
                    legal = geometry.legal_groups()
                    raise InputError(
                        f"setting `{setting}`: group size {setting.group_size} does not divide "
                        f"the head dimension {dim}",
                        f"groups that do: {', '.join(map(str, legal))}"
                        if legal
                        else "no group size MLX has divides it: this model's cache cannot be "
                        "quantized",
                    )
