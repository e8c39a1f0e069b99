// The arithmetic of the fused metrics: two rows of logits read once, in float32, in any order.
//
// Each thread absorbs vectors of W columns into a state; states are merged until one is left. Sums
// are kept relative to the largest logit met so far and are rescaled when a larger one comes.
// `cross` is the sum of e^(p - p.top) * ((p - p.top) - (q - q.top)), so that with the last tops
//     KL(p || q) = cross / p.sum - log p.sum + log q.sum     (nats).
// Differences are taken from the tops first: logits of 1e4 then cost no digits, and equal rows
// give exactly 0.
//
// The shells define QFID_INLINE, QFID_EXP, QFID_LOG, QFID_MAX, QFID_MIN and QFID_WIDTH, the columns of
// their widest vector.

#define QFID_LOWEST -3.402823466e38f
#define QFID_NOWHERE 0x7fffffff
// Natural logarithm of the smallest positive double: what exp() in float64 calls more than 0.
#define QFID_LOG_TINIEST -745.1f

template <int W>
struct QfidVector {
  float x[W];
};

// One row: its largest logit, the sum of exponentials below it, and the first column of the first
// vector that holds it.
struct QfidSide {
  float top;
  float sum;
  int at;
};

// `gone`: the largest reference logit where the candidate's is -infinity.
struct QfidState {
  QfidSide p;
  QfidSide q;
  float cross;
  float gone;
};

QFID_INLINE QfidSide qfid_empty_side(float top) {
  QfidSide side;
  side.top = top;
  side.sum = 0.0f;
  side.at = QFID_NOWHERE;
  return side;
}

// A state that has met nothing. Tops that are known to stand in the rows spare later rescaling.
QFID_INLINE QfidState qfid_empty(float p_top, float q_top) {
  QfidState state;
  state.p = qfid_empty_side(p_top);
  state.q = qfid_empty_side(q_top);
  state.cross = 0.0f;
  state.gone = QFID_LOWEST;
  return state;
}

template <int W>
QFID_INLINE float qfid_highest(QfidVector<W> v) {
  float highest = v.x[0];
  for (int i = 1; i < W; i++) {
    highest = QFID_MAX(highest, v.x[i]);
  }
  return highest;
}

// The side with its top raised to `highest`, first met at `at`; its sum rescaled.
QFID_INLINE QfidSide qfid_raise(QfidSide side, float highest, int at) {
  if (highest > side.top) {
    side.sum *= QFID_EXP(side.top - highest);
    side.top = highest;
    side.at = at;
  } else if (highest == side.top) {
    side.at = QFID_MIN(side.at, at);
  }
  return side;
}

// `cross` relative to tops that have moved from those of `old` to p_top and q_top.
QFID_INLINE float qfid_moved_cross(QfidState old, float p_top, float q_top) {
  float moved = old.cross;
  if (old.p.sum > 0.0f && old.q.top > QFID_LOWEST) {
    moved += ((old.p.top - p_top) - (old.q.top - q_top)) * old.p.sum;
  }
  return old.p.top == p_top ? moved : moved * QFID_EXP(old.p.top - p_top);
}

template <int W>
QFID_INLINE QfidSide qfid_absorb_row(QfidSide side, QfidVector<W> v, int column) {
  side = qfid_raise(side, qfid_highest<W>(v), column);
  float sum = 0.0f;
  for (int i = 0; i < W; i++) {
    sum += QFID_EXP(v.x[i] - side.top);
  }
  side.sum += sum;
  return side;
}

// Absorb W columns of both rows; p.top is the row's own already.
template <int W>
QFID_INLINE QfidState
qfid_absorb(QfidState state, QfidVector<W> p, QfidVector<W> q, int column) {
  QfidState next = state;
  next.q = qfid_raise(state.q, qfid_highest<W>(q), column);
  if (next.q.top != state.q.top) {
    next.cross = qfid_moved_cross(state, next.p.top, next.q.top);
  }
  float p_sum = 0.0f;
  float q_sum = 0.0f;
  float cross = 0.0f;
  for (int i = 0; i < W; i++) {
    float p_below = p.x[i] - next.p.top;
    float q_below = q.x[i] - next.q.top;
    float weight = QFID_EXP(p_below);
    p_sum += weight;
    q_sum += QFID_EXP(q_below);
    cross += weight * (p_below - q_below);
  }
  // Finite sums need no second look; infinities and NaN are sorted out one by one.
  if (!(cross > QFID_LOWEST && cross < -QFID_LOWEST)) {
    cross = 0.0f;
    for (int i = 0; i < W; i++) {
      float p_below = p.x[i] - next.p.top;
      float weight = QFID_EXP(p_below);
      if (q.x[i] < QFID_LOWEST) {
        next.gone = QFID_MAX(next.gone, p.x[i]);
      } else if (weight > 0.0f) {
        cross += weight * (p_below - (q.x[i] - next.q.top));
      }
    }
  }
  next.p.sum += p_sum;
  next.q.sum += q_sum;
  next.cross += cross;
  return next;
}

QFID_INLINE QfidSide qfid_merge_sides(QfidSide a, QfidSide b) {
  float top = QFID_MAX(a.top, b.top);
  QfidSide side;
  side.top = top;
  side.sum = (a.top == top ? a.sum : a.sum * QFID_EXP(a.top - top)) +
      (b.top == top ? b.sum : b.sum * QFID_EXP(b.top - top));
  side.at = a.top == b.top ? QFID_MIN(a.at, b.at) : (a.top > b.top ? a.at : b.at);
  return side;
}

QFID_INLINE QfidState qfid_merge(QfidState a, QfidState b) {
  QfidState state;
  state.p = qfid_merge_sides(a.p, b.p);
  state.q = qfid_merge_sides(a.q, b.q);
  state.cross = qfid_moved_cross(a, state.p.top, state.q.top) +
      qfid_moved_cross(b, state.p.top, state.q.top);
  state.gone = QFID_MAX(a.gone, b.gone);
  return state;
}

// KL(p || q) in nats: NaN where a row holds NaN or nothing finite, +infinity where the candidate
// rules out what the reference does not.
QFID_INLINE float qfid_kl(QfidState state) {
  float kl = state.cross / state.p.sum - QFID_LOG(state.p.sum) + QFID_LOG(state.q.sum);
  float weight = state.gone - state.p.top - QFID_LOG(state.p.sum);
  if (!(state.p.sum > 0.0f) || !(state.q.sum > 0.0f)) {
    return state.p.sum * 0.0f / (state.q.sum * 0.0f);
  }
  return kl == kl && state.gone > QFID_LOWEST && weight > QFID_LOG_TINIEST ? -QFID_LOG(0.0f) : kl;
}

// Log-probability of a token of a row, nats.
QFID_INLINE float qfid_logprob(QfidSide side, float logit) {
  return (logit - side.top) - QFID_LOG(side.sum);
}

// The lowest column that holds the top of a row; `side.at` begins the vector that does.
template <typename Row>
QFID_INLINE int qfid_first(Row row, QfidSide side, int columns) {
  if (side.at == QFID_NOWHERE) {
    return 0;
  }
  int column = side.at;
  while (column + 1 < QFID_MIN(side.at + QFID_WIDTH, columns) &&
         static_cast<float>(row[column]) != side.top) {
    column++;
  }
  return column;
}
