    if (MODE == 0) {
      values[7 * row + 1] = state.p.top;
      values[7 * row + 2] = QFID_LOG(state.p.sum);
      values[7 * row + 3] = qfid_logprob(state.p, static_cast<float>(p_row[target]));
      tops[2 * row] = qfid_first(p_row, state.p, columns);
    } else {
      values[7 * row + 0] = qfid_kl(state);
      values[7 * row + 1] = given_values[7 * row + 1];
      values[7 * row + 2] = given_values[7 * row + 2];
      values[7 * row + 3] = given_values[7 * row + 3];
      values[7 * row + 4] = state.q.top;
      values[7 * row + 5] = QFID_LOG(state.q.sum);
      values[7 * row + 6] = qfid_logprob(state.q, static_cast<float>(q_row[target]));
      tops[2 * row] = given_tops[2 * row];
      tops[2 * row + 1] = qfid_first(q_row, state.q, columns);
    }
