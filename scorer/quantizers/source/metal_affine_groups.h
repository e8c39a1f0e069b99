  // The kernel's body, as on CUDA: the same inputs and outputs. Threads beyond the last do not exist.
  const uint thread_index = thread_position_in_grid.x;
  const uint per_row = uint(x_shape[3]) / EACH;
  const uint row = thread_index / per_row;
  const uint head = row / uint(x_shape[2]);
  const uint batch = head / uint(x_shape[1]);
  auto own = x + batch * x_strides[0] + (head % uint(x_shape[1])) * x_strides[1] +
      (row % uint(x_shape[2])) * x_strides[2] + (thread_index % per_row) * EACH * x_strides[3];
  auto out = restored + size_t(thread_index) * EACH;
  T held[EACH];
  const int group_threads = static_cast<int>(rule[1]);
  const int rounding = static_cast<int>(rule[2]);
  float low = 3.402823466e38f;
  float high = 0.0f;
  bool finite = true;
  for (int i = 0; i < EACH; i++) {
    held[i] = own[i * x_strides[3]];
    const float value = static_cast<float>(held[i]);
    low = QFID_MIN(low, value);
    high = QFID_MAX(high, value);
    finite = finite && qfid_is_finite(value);
  }
  for (ushort offset = group_threads / 2; offset > 0; offset /= 2) {
    low = QFID_MIN(low, metal::simd_shuffle_xor(low, offset));
    high = QFID_MAX(high, metal::simd_shuffle_xor(high, offset));
  }
  const float top = rule[0];
  const QfidAffine affine = qfid_affine(low, high, top);
  bool changed = false;
  for (int i = 0; i < EACH; i++) {
    const float value = static_cast<float>(held[i]);
    const T back = qfid_restored<T>(qfid_code(value, affine, top), affine, rounding);
    out[i] = back;
    changed = changed || static_cast<float>(back) != value;
  }
  finite = metal::simd_all(finite);
  changed = metal::simd_any(changed);
  if (thread_index % 32 == 0) {
    flags[thread_index / 32 * 2] = !finite;
    flags[thread_index / 32 * 2 + 1] = changed;
  }
