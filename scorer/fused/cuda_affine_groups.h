  // The kernel's body. Inputs: x (groups, 32 * EACH) of T; levels (1,) float. Outputs: restored, as
  // x; flags (2,), 0 at first: an element was not finite, an element was changed.
  const size_t group = (blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x) / 32;
  const int lane = threadIdx.x % 32;
  if (group < static_cast<size_t>(x_shape[0])) {
    const T* own = x + (group * 32 + lane) * EACH;
    T* out = restored + (group * 32 + lane) * EACH;
    T held[EACH];
    float low = 3.402823466e38f;
    float high = 0.0f;
    bool finite = true;
    for (int i = 0; i < EACH; i++) {
      held[i] = own[i];
      const float value = static_cast<float>(held[i]);
      low = QFID_MIN(low, value);
      high = QFID_MAX(high, value);
      finite = finite && qfid_is_finite(value);
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      low = QFID_MIN(low, __shfl_xor_sync(0xffffffffu, low, offset));
      high = QFID_MAX(high, __shfl_xor_sync(0xffffffffu, high, offset));
    }
    const float top = levels[0];
    const QfidAffine affine = qfid_affine(low, high, top);
    bool changed = false;
    for (int i = 0; i < EACH; i++) {
      const float value = static_cast<float>(held[i]);
      const T back = qfid_restored<T, WAY>(qfid_code(value, affine, top), affine);
      out[i] = back;
      changed = changed || static_cast<float>(back) != value;
    }
    finite = __all_sync(0xffffffffu, finite);
    changed = __any_sync(0xffffffffu, changed);
    // Looked at before it is written: thousands of stores to one place would wait for each other.
    if (lane == 0 && !finite && flags[0] == 0) {
      flags[0] = 1;
    }
    if (lane == 0 && changed && flags[1] == 0) {
      flags[1] = 1;
    }
  }
