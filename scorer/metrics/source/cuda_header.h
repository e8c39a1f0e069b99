// What the arithmetic and the rows need of CUDA: one block of threads for each pair of rows.

#define QFID_INLINE __device__ __forceinline__
#define QFID_EXP(x) qfid_exp(x)
#define QFID_LOG(x) logf(x)
#define QFID_MAX(a, b) fmaxf(a, b)
#define QFID_MIN(a, b) ((a) < (b) ? (a) : (b))
#define QFID_WIDTH 8

// Twice as fast as __expf, which mends results below 1e-38; here they count as 0.
__device__ __forceinline__ float qfid_exp(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x * 1.44269504f));
  return result;
}

// ARITHMETIC

// Eight logits as they lie in memory: one load of 16 bytes, or two.
template <typename T>
struct QfidRaw {
  uint4 words;
};

template <>
struct QfidRaw<float> {
  uint4 words;
  uint4 more;
};

template <typename T>
__device__ __forceinline__ QfidRaw<T> qfid_load(const T* row, int column) {
  return *reinterpret_cast<const QfidRaw<T>*>(row + column);
}

template <>
__device__ __forceinline__ QfidRaw<float> qfid_load<float>(const float* row, int column) {
  const uint4* at = reinterpret_cast<const uint4*>(row + column);
  QfidRaw<float> raw;
  raw.words = at[0];
  raw.more = at[1];
  return raw;
}

__device__ __forceinline__ void qfid_halves(unsigned int word, const __nv_bfloat16*, float* out) {
  out[0] = __uint_as_float(word << 16);
  out[1] = __uint_as_float(word & 0xffff0000u);
}

__device__ __forceinline__ void qfid_halves(unsigned int word, const __half*, float* out) {
  out[0] = __half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffffu)));
  out[1] = __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)));
}

template <typename T>
__device__ __forceinline__ QfidVector<QFID_WIDTH> qfid_widen(QfidRaw<T> raw) {
  QfidVector<QFID_WIDTH> v;
  qfid_halves(raw.words.x, static_cast<const T*>(nullptr), v.x);
  qfid_halves(raw.words.y, static_cast<const T*>(nullptr), v.x + 2);
  qfid_halves(raw.words.z, static_cast<const T*>(nullptr), v.x + 4);
  qfid_halves(raw.words.w, static_cast<const T*>(nullptr), v.x + 6);
  return v;
}

template <>
__device__ __forceinline__ QfidVector<QFID_WIDTH> qfid_widen<float>(QfidRaw<float> raw) {
  QfidVector<QFID_WIDTH> v;
  v.x[0] = __uint_as_float(raw.words.x);
  v.x[1] = __uint_as_float(raw.words.y);
  v.x[2] = __uint_as_float(raw.words.z);
  v.x[3] = __uint_as_float(raw.words.w);
  v.x[4] = __uint_as_float(raw.more.x);
  v.x[5] = __uint_as_float(raw.more.y);
  v.x[6] = __uint_as_float(raw.more.z);
  v.x[7] = __uint_as_float(raw.more.w);
  return v;
}

// Columns before the first one that lies at a multiple of 16 bytes.
template <typename T>
__device__ __forceinline__ int qfid_unaligned(const T* row) {
  return static_cast<int>((16 - reinterpret_cast<size_t>(row) % 16) % 16 / sizeof(T));
}

__device__ __forceinline__ QfidSide qfid_shuffle_side(QfidSide side, int offset) {
  QfidSide other;
  other.top = __shfl_down_sync(0xffffffffu, side.top, offset);
  other.sum = __shfl_down_sync(0xffffffffu, side.sum, offset);
  other.at = __shfl_down_sync(0xffffffffu, side.at, offset);
  return other;
}

__device__ __forceinline__ QfidState qfid_shuffle(QfidState state, int offset) {
  QfidState other;
  other.p = qfid_shuffle_side(state.p, offset);
  other.q = qfid_shuffle_side(state.q, offset);
  other.cross = __shfl_down_sync(0xffffffffu, state.cross, offset);
  other.gone = __shfl_down_sync(0xffffffffu, state.gone, offset);
  return other;
}
