  // The kernel's body: a thread takes EACH elements, some neighbours share a group. Inputs: x
  // (B, H, T, D) of T, groups along D; rule (3,) float: codes above 0, threads of a group, how a
  // code's value is rounded. Outputs: restored, as x and row by row;
  // flags (warps, 2): an element was not finite, an element was changed.
  const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;
  // Where the elements stand in x, which may lie in memory in another order.
  const uint32_t per_row = x_shape[3] / EACH;
  const uint32_t row = thread / per_row;
  const uint32_t head = row / x_shape[2];
  const uint32_t batch = head / x_shape[1];
  const bool inside = batch < static_cast<uint32_t>(x_shape[0]);
  alignas(16) T held[EACH];
  const int group_threads = static_cast<int>(rule[1]);
  const int rounding = static_cast<int>(rule[2]);
  float low = 3.402823466e38f;
  float high = 0.0f;
  bool finite = true;
  if (inside) {
    const T* own = x + batch * x_strides[0] + (head % x_shape[1]) * x_strides[1] +
        (row % x_shape[2]) * x_strides[2] + (thread % per_row) * EACH * x_strides[3];
    if (x_strides[3] == 1 && reinterpret_cast<uintptr_t>(own) % 16 == 0) {
      for (int i = 0; i < EACH * sizeof(T) / 16; i++) {
        reinterpret_cast<uint4*>(held)[i] = reinterpret_cast<const uint4*>(own)[i];
      }
    } else {
      for (int i = 0; i < EACH; i++) {
        held[i] = own[i * x_strides[3]];
      }
    }
    for (int i = 0; i < EACH; i++) {
      const float value = static_cast<float>(held[i]);
      low = QFID_MIN(low, value);
      high = QFID_MAX(high, value);
      finite = finite && qfid_is_finite(value);
    }
  }
  for (int offset = group_threads / 2; offset > 0; offset /= 2) {
    low = QFID_MIN(low, __shfl_xor_sync(0xffffffffu, low, offset));
    high = QFID_MAX(high, __shfl_xor_sync(0xffffffffu, high, offset));
  }
  bool changed = false;
  if (inside) {
    const float top = rule[0];
    const QfidAffine affine = qfid_affine(low, high, top);
    for (int i = 0; i < EACH; i++) {
      const float value = static_cast<float>(held[i]);
      held[i] = qfid_restored<T>(qfid_code(value, affine, top), affine, rounding);
      changed = changed || static_cast<float>(held[i]) != value;
    }
    T* out = restored + static_cast<size_t>(thread) * EACH;
    for (int i = 0; i < EACH * sizeof(T) / 16; i++) {
      reinterpret_cast<uint4*>(out)[i] = reinterpret_cast<const uint4*>(held)[i];
    }
  }
  finite = __all_sync(0xffffffffu, finite);
  changed = __any_sync(0xffffffffu, changed);
  if (inside && threadIdx.x % 32 == 0) {
    flags[thread / 32 * 2] = !finite;
    flags[thread / 32 * 2 + 1] = changed;
  }
