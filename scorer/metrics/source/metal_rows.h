  // The kernel's body, as on CUDA: the same inputs, outputs, modes and order of merging. Columns
  // are read one by one, so that rows may begin anywhere; the compiler joins the loads.
  threadgroup QfidState groups[32];
  const int columns = p_shape[1];
  const size_t row = threadgroup_position_in_grid.x;
  auto p_row = p + row * static_cast<size_t>(columns);
  auto q_row = q + row * static_cast<size_t>(columns);
  const int index = int(thread_position_in_threadgroup.x);
  const int threads = int(threads_per_threadgroup.x);

  QfidState state = qfid_empty(QFID_LOWEST, QFID_LOWEST);
  if (MODE == 1) {
    // The candidate's logit at the reference's top is often its own top: nothing to rescale then.
    const float q_top = static_cast<float>(q_row[given_tops[2 * row]]);
    state = qfid_empty(given_values[7 * row + 1], QFID_MAX(QFID_LOWEST, q_top));
  }

  const int vectors = columns / QFID_WIDTH;
  for (int i = index; i < vectors; i += threads) {
    const int column = i * QFID_WIDTH;
    QfidVector<QFID_WIDTH> p_vector, q_vector;
    for (int j = 0; j < QFID_WIDTH; j++) {
      p_vector.x[j] = static_cast<float>(p_row[column + j]);
      q_vector.x[j] = MODE == 0 ? 0.0f : static_cast<float>(q_row[column + j]);
    }
    if (MODE == 0) {
      state.p = qfid_absorb_row<QFID_WIDTH>(state.p, p_vector, column);
    } else {
      state = qfid_absorb<QFID_WIDTH>(state, p_vector, q_vector, column);
    }
  }
  for (int column = vectors * QFID_WIDTH + index; column < columns; column += threads) {
    QfidVector<1> p_one, q_one;
    p_one.x[0] = static_cast<float>(p_row[column]);
    q_one.x[0] = static_cast<float>(q_row[column]);
    if (MODE == 0) {
      state.p = qfid_absorb_row<1>(state.p, p_one, column);
    } else {
      state = qfid_absorb<1>(state, p_one, q_one, column);
    }
  }

  for (ushort offset = 16; offset > 0; offset /= 2) {
    state = qfid_merge(state, qfid_shuffle(state, offset));
  }
  if (index % 32 == 0) {
    groups[index / 32] = state;
  }
  threadgroup_barrier(metal::mem_flags::mem_threadgroup);
  if (index == 0) {
    for (int group = 1; group < threads / 32; group++) {
      state = qfid_merge(state, groups[group]);
    }
    const int target = targets[row];
    // FINISH
  }
