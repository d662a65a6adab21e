/* Words in memory that two processes share: one writes, the other reads. */
#ifndef TORQ_ATOMICS_H
#define TORQ_ATOMICS_H

#include <stdint.h>

static inline uint64_t torq_load(const void *p)
{
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}

static inline void torq_store(void *p, uint64_t value)
{
    __atomic_store_n((uint64_t *)p, value, __ATOMIC_RELEASE);
}

static inline void torq_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void torq_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
