  // The kernel's body, as on CUDA: the same inputs and outputs.
  const size_t group = thread_position_in_grid.x / 32;
  const int lane = int(thread_position_in_grid.x % 32);
  if (group < size_t(x_shape[0])) {
    auto own = x + (group * 32 + lane) * EACH;
    auto out = restored + (group * 32 + lane) * EACH;
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
    low = metal::simd_min(low);
    high = metal::simd_max(high);
    const float top = levels[0];
    const QfidAffine affine = qfid_affine(low, high, top);
    bool changed = false;
    for (int i = 0; i < EACH; i++) {
      const float value = static_cast<float>(held[i]);
      const T back = qfid_restored<T, WAY>(qfid_code(value, affine, top), affine);
      out[i] = back;
      changed = changed || static_cast<float>(back) != value;
    }
    finite = metal::simd_all(finite);
    changed = metal::simd_any(changed);
    if (lane == 0 && !finite) {
      flags[0] = 1;
    }
    if (lane == 0 && changed) {
      flags[1] = 1;
    }
  }
