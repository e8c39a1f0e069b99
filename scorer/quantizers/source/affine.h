// MLX's affine quantizer and its inverse for one group of elements, as its GPU backends compute it.
//
// The range runs from the group's end of larger magnitude, so that this end and 0 are both hit
// exactly; on a GPU the upper end is never below 0. Codes are made before scale and bias are rounded
// to the dtype of the cache.
//
// The shells define QFID_INLINE, QFID_MAX, QFID_MIN, QFID_ABS, QFID_ROUND (half away from 0),
// QFID_FMA, and QFID_MUL and QFID_ADD, which are never joined to one rounding.

struct QfidAffine {
  float scale;
  float bias;
};

// Scale and bias of a group from `low` to `high`, with `levels` codes above 0.
QFID_INLINE QfidAffine qfid_affine(float low, float high, float levels) {
  float scale = QFID_MAX((high - low) / levels, 1e-7f);
  bool below = QFID_ABS(low) > QFID_ABS(high);
  scale = below ? scale : -scale;
  float edge = below ? low : high;
  float steps = QFID_ROUND(edge / scale);
  QfidAffine found;
  found.scale = steps == 0.0f ? scale : edge / steps;
  found.bias = steps == 0.0f ? 0.0f : edge;
  return found;
}

QFID_INLINE float qfid_code(float x, QfidAffine affine, float levels) {
  float code = QFID_ROUND((x - affine.bias) / affine.scale);
  return QFID_MAX(QFID_MIN(code, levels), 0.0f);
}

// What a code stands for. Whether a device rounds the product before it adds is its compiler's
// choice: twice, the product and the sum (2), once (1), or as T's own operators do it (0).
template <typename T>
QFID_INLINE T qfid_restored(float code, QfidAffine affine, int rounding) {
  T scale = static_cast<T>(affine.scale);
  T bias = static_cast<T>(affine.bias);
  if (rounding == 0) {
    return static_cast<T>(static_cast<T>(code) * scale + bias);
  }
  float wide_scale = static_cast<float>(scale);
  float wide_bias = static_cast<float>(bias);
  if (rounding == 1) {
    return static_cast<T>(QFID_FMA(code, wide_scale, wide_bias));
  }
  float product = static_cast<float>(static_cast<T>(QFID_MUL(code, wide_scale)));
  return static_cast<T>(QFID_ADD(product, wide_bias));
}

QFID_INLINE bool qfid_is_finite(float x) {
  return QFID_ABS(x) <= 3.402823466e38f;
}
