/* Functions of float32 that a compiler can inline and turn into vector instructions, as it cannot those of the C
 * library.  No branches but selections, and nothing that depends on where in a loop an element stands.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

INLINE float from_bits(int32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
INLINE int32_t to_bits(float x) { int32_t bits; memcpy(&bits, &x, 4); return bits; }
INLINE float power_of_two(int32_t k) { return from_bits((k + 127) << 23); } /* for k from -126 to 127 */

/* condition, 0 or 1, ? a : b; by their bits, because compilers make branches of ?: and then no vectors. */
INLINE float where(int condition, float a, float b)
{
    int32_t mask = -condition;
    return from_bits((to_bits(a) & mask) | (to_bits(b) & ~mask));
}

/* As NumPy's: NaN, from either side, stays NaN. */
INLINE float maximum(float a, float b) { return where((a > b) | (a != a), a, b); }
INLINE float minimum(float a, float b) { return where((a < b) | (a != a), a, b); }
INLINE int is_finite(float x) { return fabsf(x) <= 3.4028235e38f; }

/* k ln 2 in two summands, the first of them exact. */
#define HIGH 0.693359375f
#define LOW -2.12194440e-4f

/* x = k ln 2 + r with |r| <= (ln 2) / 2: returns e^r - 1, by its Taylor series, and k. */
INLINE float reduced(float x, int32_t *k)
{
    x = maximum(minimum(x, 89), -105); /* beyond, e^x is infinite and 0 */
    float whole = FMA(x, 1.44269504f, 12582912.0f) - 12582912.0f; /* rounds: so large a float has no digits for less */
    float r = FMA(whole, -LOW, FMA(whole, -HIGH, x));
    float rest = FMA(r, FMA(r, FMA(r, FMA(r, FMA(r, 1.f/5040, 1.f/720), 1.f/120), 1.f/24), 1.f/6), 1.f/2);
    *k = (int32_t)where(whole == whole, whole, 0);
    return FMA(r * r, rest, r);
}

/* 2^k may be too large or too small for a float, so it is taken in two factors. */
INLINE float exp_(float x)
{
    int32_t k;
    float e = reduced(x, &k) + 1;
    return e * power_of_two(k >> 1) * power_of_two(k - (k >> 1));
}

INLINE float expm1_(float x) /* 2^k e + 2^k - 1, with the larger factor taken out */
{
    int32_t k;
    float e = reduced(x, &k), rest = power_of_two(k - (k >> 1));
    return FMA(e, rest, rest - power_of_two(-(k >> 1))) * power_of_two(k >> 1);
}

INLINE float tanh_(float x)
{
    float e = expm1_(-2 * fabsf(x));
    return copysignf(e / (e + 2), x);
}

/* x = 2^k m with m from sqrt(1/2) to sqrt(2), and ln m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...) of
 * s = (m - 1) / (m + 1); plus `slip`, which is small.  x is no denormal number. */
INLINE float log_of(float x, float slip)
{
    int32_t bits = to_bits(x), whole = (bits - 0x3f3504f3) >> 23;
    float f = from_bits(bits - (whole << 23)) - 1, k = (float)whole;
    float s = f / (f + 2), z = s * s;
    float rest = FMA(z, FMA(z, FMA(z, FMA(z, 1.f/11, 1.f/9), 1.f/7), 1.f/5), 1.f/3);
    return FMA(k, HIGH, 2 * s + FMA(2 * s * z, rest, FMA(k, LOW, slip)));
}

/* The logarithm of 0, of what is negative, infinite or NaN, and else y. */
INLINE float log_or(float x, float y)
{
    return where((x > 0) & is_finite(x), y, where(x == 0, -INFINITY, where(x > 0, x, NAN)));
}

INLINE float log_(float x)
{
    int denormal = x < 1.17549435e-38f; /* and so multiplied by 2^23 */
    return log_or(x, log_of(where(denormal, x * 8388608.0f, x), where(denormal, -15.942385f, 0)));
}

INLINE float log1p_(float x)
{
    float sum = 1 + x;
    return log_or(sum, log_of(sum, (x - (sum - 1)) / sum)); /* ln(sum + d) = ln sum + d / sum for the d rounded off */
}
