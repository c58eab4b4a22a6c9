"""Random numbers of a device: Philox 4×32-10 (Salmon et al. 2011), one kernel for each draw.

It has no state: number i of draw d under a key is a function of (key, d, i).  So the same seed gives the same numbers
on every GPU, whatever was drawn before, and a recorded draw (see `graphs`) needs nothing new but d.
"""

from minivae.backend.selection import array_library, name_of

FUNCTIONS = """
struct minivae_bits { unsigned long long first, second; };
__device__ minivae_bits minivae_philox(unsigned long long key, unsigned long long draw, unsigned long long i) {
    const unsigned long long mask = 0xFFFFFFFFull;
    unsigned long long c0 = i & mask, c1 = i >> 32, c2 = draw & mask, c3 = draw >> 32, k0 = key & mask, k1 = key >> 32;
    for (int round = 0; round < 10; ++round) {
        unsigned long long p = 0xD2511F53ull * c0, q = 0xCD9E8D57ull * c2;
        c0 = (q >> 32) ^ c1 ^ k0; c1 = q & mask;
        c2 = (p >> 32) ^ c3 ^ k1; c3 = p & mask;
        k0 = (k0 + 0x9E3779B9ull) & mask; k1 = (k1 + 0xBB67AE85ull) & mask;
    }
    minivae_bits bits = { c0 << 32 | c1, c2 << 32 | c3 };
    return bits;
}
"""
DRAW = "const minivae_bits bits = minivae_philox((unsigned long long)key, (unsigned long long)draw, i);\n"
# As many leading bits as the dtype's mantissa holds, so that rounding never makes 1.
UNIFORM = """out = sizeof(T) == 4 ? (T)(bits.first >> 40) * (T)5.9604644775390625e-8
    : (T)(bits.first >> 11) * (T)1.1102230246251565e-16;"""
# Box and Muller: a radius from the first 64 bits, never 0, and an angle from the others.
NORMAL = """out = sqrt((T)-2 * log(((T)bits.first + (T)0.5) * (T)5.421010862427522e-20))
    * cos((T)6.283185307179586 * ((T)bits.second * (T)5.421010862427522e-20));"""
BODIES = {"random": UNIFORM, "standard_normal": NORMAL}

_kernels = {}


def fill(kind, out, key, draw):
    """Fill `out` with draw number `draw` under a key, of the kind that NumPy's generators call so."""
    xp = array_library(name_of(out))
    if (xp, kind) not in _kernels:
        _kernels[xp, kind] = xp.ElementwiseKernel("int64 key, int64 draw", "T out", DRAW + BODIES[kind],
                                                  f"minivae_{kind}", preamble=FUNCTIONS)
    _kernels[xp, kind](key, draw, out)
    return out
