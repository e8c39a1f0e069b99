// What the arithmetic and the rows need of Metal: one threadgroup for each pair of rows.

#define QFID_INLINE inline
#define QFID_EXP(x) metal::exp(x)
#define QFID_LOG(x) metal::log(x)
#define QFID_MAX(a, b) metal::fmax(a, b)
#define QFID_MIN(a, b) ((a) < (b) ? (a) : (b))
#define QFID_WIDTH 8

// ARITHMETIC

inline QfidSide qfid_shuffle_side(QfidSide side, ushort offset) {
  QfidSide other;
  other.top = metal::simd_shuffle_down(side.top, offset);
  other.sum = metal::simd_shuffle_down(side.sum, offset);
  other.at = metal::simd_shuffle_down(side.at, offset);
  return other;
}

inline QfidState qfid_shuffle(QfidState state, ushort offset) {
  QfidState other;
  other.p = qfid_shuffle_side(state.p, offset);
  other.q = qfid_shuffle_side(state.q, offset);
  other.cross = metal::simd_shuffle_down(state.cross, offset);
  other.gone = metal::simd_shuffle_down(state.gone, offset);
  return other;
}
