  // The kernel's body. Inputs: p, q (N, V) of T; targets (N,); given_values (any, 7) and given_tops
  // (any, 2), outputs of an earlier call on p. Outputs: values (N, 7), tops (N, 2).
  // MODE 0 looks at p alone, 1 at both rows with p's part given.
  __shared__ QfidState warps[32];
  const int columns = p_shape[1];
  const size_t row = blockIdx.x;
  const T* p_row = p + row * static_cast<size_t>(columns);
  const T* q_row = q + row * static_cast<size_t>(columns);
  const int thread = threadIdx.x;
  const int threads = blockDim.x;

  QfidState state = qfid_empty(QFID_LOWEST, QFID_LOWEST);
  if (MODE == 1) {
    // The candidate's logit at the reference's top is often its own top: nothing to rescale then.
    const float q_top = static_cast<float>(q_row[given_tops[2 * row]]);
    state = qfid_empty(given_values[7 * row + 1], QFID_MAX(QFID_LOWEST, q_top));
  }

  const bool together = qfid_unaligned(p_row) == qfid_unaligned(q_row);
  const int head = together ? QFID_MIN(qfid_unaligned(p_row), columns) : columns;
  const int vectors = (columns - head) / QFID_WIDTH;
  const int body_end = head + vectors * QFID_WIDTH;

  QfidRaw<T> p_next, q_next;
  if (thread < vectors) {
    p_next = qfid_load<T>(p_row, head + thread * QFID_WIDTH);
    q_next = qfid_load<T>(q_row, head + thread * QFID_WIDTH);
  }
  for (int i = thread; i < vectors; i += threads) {
    const QfidRaw<T> p_raw = p_next;
    const QfidRaw<T> q_raw = q_next;
    if (i + threads < vectors) {
      p_next = qfid_load<T>(p_row, head + (i + threads) * QFID_WIDTH);
      q_next = qfid_load<T>(q_row, head + (i + threads) * QFID_WIDTH);
    }
    const int column = head + i * QFID_WIDTH;
    if (MODE == 0) {
      state.p = qfid_absorb_row<QFID_WIDTH>(state.p, qfid_widen<T>(p_raw), column);
    } else {
      state = qfid_absorb<QFID_WIDTH>(state, qfid_widen<T>(p_raw), qfid_widen<T>(q_raw), column);
    }
  }
  for (int i = thread; i < columns - vectors * QFID_WIDTH; i += threads) {
    const int column = i < head ? i : body_end + (i - head);
    QfidVector<1> p_one, q_one;
    p_one.x[0] = static_cast<float>(p_row[column]);
    q_one.x[0] = static_cast<float>(q_row[column]);
    if (MODE == 0) {
      state.p = qfid_absorb_row<1>(state.p, p_one, column);
    } else {
      state = qfid_absorb<1>(state, p_one, q_one, column);
    }
  }

  for (int offset = 16; offset > 0; offset /= 2) {
    state = qfid_merge(state, qfid_shuffle(state, offset));
  }
  if (thread % 32 == 0) {
    warps[thread / 32] = state;
  }
  __syncthreads();
  if (thread == 0) {
    for (int warp = 1; warp < threads / 32; warp++) {
      state = qfid_merge(state, warps[warp]);
    }
    const int target = targets[row];
    // FINISH
  }
