/* CRC-32 as zlib computes it (reflected polynomial 0xEDB88320).
 *
 * Where the processor multiplies without carries (PCLMULQDQ, asked at run time), the range is
 * folded 16 bytes a step; the method and its constants are those of Gopal et al., "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. Elsewhere eight
 * tables take eight bytes a step (slicing-by-8, Kounavis and Berry 2005).
 */
#ifndef TORQ_CRC32_H
#define TORQ_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t torq_crc_tables[8][256];
static int torq_crc_folds;

static uint32_t torq_crc_sliced(const uint8_t *p, size_t n, uint32_t crc)
{
    uint64_t word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        word ^= crc;
        crc = torq_crc_tables[7][word & 0xFF] ^ torq_crc_tables[6][(word >> 8) & 0xFF]
            ^ torq_crc_tables[5][(word >> 16) & 0xFF] ^ torq_crc_tables[4][(word >> 24) & 0xFF]
            ^ torq_crc_tables[3][(word >> 32) & 0xFF] ^ torq_crc_tables[2][(word >> 40) & 0xFF]
            ^ torq_crc_tables[1][(word >> 48) & 0xFF] ^ torq_crc_tables[0][word >> 56];
    }
    for (; n; p++, n--)
        crc = (crc >> 8) ^ torq_crc_tables[0][(crc ^ *p) & 0xFF];
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TORQ_FOLD(x, k, next)                                             \
    _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), next),  \
                  _mm_clmulepi64_si128(x, k, 0x11))

/* n is a multiple of 8, at least 24. */
__attribute__((target("pclmul,sse4.1")))
static uint32_t torq_crc_folded(const uint8_t *p, size_t n, uint32_t crc)
{
    const __m128i by_4 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by_1 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const __m128i to_32 = _mm_set_epi64x(0, 0x0163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    const __m128i low_32 = _mm_setr_epi32(-1, 0, -1, 0);
    __m128i x, t;

    if (n % 16) {
        /* Zeros in front of a range change nothing: the first half block goes in the high half. */
        x = _mm_slli_si128(
            _mm_xor_si128(_mm_loadl_epi64((const __m128i *)p), _mm_cvtsi32_si128((int)crc)), 8);
        p += 8, n -= 8;
    } else {
        x = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_cvtsi32_si128((int)crc));
        p += 16, n -= 16;
    }
    if (n >= 240) {
        __m128i y0 = x, y1, y2, y3;
        y1 = _mm_loadu_si128((const __m128i *)p);
        y2 = _mm_loadu_si128((const __m128i *)(p + 16));
        y3 = _mm_loadu_si128((const __m128i *)(p + 32));
        for (p += 48, n -= 48; n >= 64; p += 64, n -= 64) {
            y0 = TORQ_FOLD(y0, by_4, _mm_loadu_si128((const __m128i *)p));
            y1 = TORQ_FOLD(y1, by_4, _mm_loadu_si128((const __m128i *)(p + 16)));
            y2 = TORQ_FOLD(y2, by_4, _mm_loadu_si128((const __m128i *)(p + 32)));
            y3 = TORQ_FOLD(y3, by_4, _mm_loadu_si128((const __m128i *)(p + 48)));
        }
        y1 = TORQ_FOLD(y0, by_1, y1);
        y2 = TORQ_FOLD(y1, by_1, y2);
        x = TORQ_FOLD(y2, by_1, y3);
    }
    for (; n; p += 16, n -= 16)
        x = TORQ_FOLD(x, by_1, _mm_loadu_si128((const __m128i *)p));

    /* 128 bits to 64, to 32, and Barrett's reduction. */
    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, by_1, 0x10));
    t = _mm_srli_si128(x, 4);
    x = _mm_xor_si128(t, _mm_clmulepi64_si128(_mm_and_si128(x, low_32), to_32, 0x00));
    t = _mm_clmulepi64_si128(_mm_and_si128(x, low_32), barrett, 0x10);
    t = _mm_clmulepi64_si128(_mm_and_si128(t, low_32), barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, t), 1);
}
#endif

static void torq_crc_prepare(void)
{
    uint32_t i, j, value;
    for (i = 0; i < 256; i++) {
        value = i;
        for (j = 0; j < 8; j++)
            value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0);
        torq_crc_tables[0][i] = value;
    }
    for (i = 0; i < 256; i++)
        for (j = 1; j < 8; j++) {
            value = torq_crc_tables[j - 1][i];
            torq_crc_tables[j][i] = (value >> 8) ^ torq_crc_tables[0][value & 0xFF];
        }
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    torq_crc_folds = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
}

static inline uint32_t torq_crc32(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
#if defined(__x86_64__) && defined(__GNUC__)
    if (torq_crc_folds && n >= 24) {
        size_t whole = n & ~(size_t)7;
        crc = torq_crc_folded(p, whole, crc);
        p += whole, n -= whole;
        if (!n)
            return ~crc;
    }
#endif
    return ~torq_crc_sliced(p, n, crc);
}

#endif
