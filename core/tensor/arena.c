/* The host's large blocks: cut out of one range of addresses, joined again when they come back.
 * Not here: small blocks, other devices, locks and figures (storage.c). */
#include "arena.h"
#include "base/allocate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Blocks that keep their size for ever leave a quarter to almost a half of a training step's pages
 * idle: what the forward pass of one stage frees fits nothing in the next (docs/performance.md).
 * Here neighbours that are free become one gap. A request takes the lowest address that has room,
 * so a step that repeats meets the same pages, and the top stays as low as it can. */

typedef struct gap {
    char *at;
    size_t bytes;
    size_t idle; /* of these, at most so many have pages */
} gap;

static struct {
    char *base, *top, *usable, *end; /* blocks lie below top, pages may be used below usable */
    gap *gaps;                       /* by address; none touches another */
    size_t count, room, blocks;
} arena;

static const size_t huge_page = (size_t)2 << 20;

static char *up_to_huge(char *p) {
    return (char *)(((uintptr_t)p + huge_page - 1) & ~(uintptr_t)(huge_page - 1));
}

/* Addresses cost nothing until they are used: twice the machine's memory, so that gaps whose pages
 * were given back do not stand in the way; less when the process may not have so many. */
static bool reserve(void) {
    if (arena.base) return true;
    size_t bytes = 2 * (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    for (; bytes >= (size_t)64 << 20; bytes /= 2) {
        char *raw =
            mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (raw == MAP_FAILED) continue;
        arena.base = arena.top = arena.usable = up_to_huge(raw);
        arena.end = up_to_huge(raw + bytes) - huge_page;
#ifdef MADV_HUGEPAGE
        madvise(arena.base, (size_t)(arena.end - arena.base), MADV_HUGEPAGE);
#endif
        return true;
    }
    return false;
}

static bool raise_top(char *top) {
    if (top > arena.end || top < arena.top) return false;
    if (top > arena.usable) {
        char *usable = up_to_huge(top);
        if (mprotect(arena.usable, (size_t)(usable - arena.usable), PROT_READ | PROT_WRITE) != 0)
            return false;
        arena.usable = usable;
    }
    arena.top = top;
    return true;
}

/* Room for one more gap, so that giving back cannot fail: blocks and gaps alternate at worst. */
static bool make_room(void) {
    if (arena.blocks + 1 < arena.room) return true;
    size_t room = arena.room ? arena.room * 2 : 64;
    gap *gaps = mien__realloc(arena.gaps, room * sizeof *gaps);
    if (!gaps) return false;
    arena.gaps = gaps;
    arena.room = room;
    return true;
}

static void remove_gap(size_t at) {
    arena.count--;
    memmove(arena.gaps + at, arena.gaps + at + 1, (arena.count - at) * sizeof *arena.gaps);
}

static char *end_of(const gap *g) {
    return g->at + g->bytes;
}

/* The lowest gap with room for `bytes`; when there is none, one that ends at the top, which is
 * still to be raised. */
static size_t find_gap(size_t bytes) {
    size_t i = 0;
    while (i < arena.count && arena.gaps[i].bytes < bytes) i++;
    if (i < arena.count) return i;
    if (arena.count && end_of(&arena.gaps[arena.count - 1]) == arena.top) return arena.count - 1;
    arena.gaps[arena.count++] = (gap){.at = arena.top};
    return i;
}

void *mien__arena_alloc(size_t bytes, size_t room, size_t *fresh) {
    if (!reserve() || !make_room()) return NULL;
    size_t i = find_gap(bytes);
    gap *g = &arena.gaps[i];
    size_t used = g->idle < bytes ? g->idle : bytes, left = (size_t)(arena.end - g->at);
    char *data = NULL;
    if (bytes - used <= room && bytes <= left && (g->bytes >= bytes || raise_top(g->at + bytes))) {
        data = g->at;
        *fresh = bytes - used;
        *g = (gap){data + bytes, g->bytes > bytes ? g->bytes - bytes : 0, g->idle - used};
        arena.blocks++;
    }
    if (g->bytes == 0) remove_gap(i);
    return data;
}

void mien__arena_give(void *data, size_t bytes) {
    char *at = data;
    size_t i = 0; /* of the first gap behind the block */
    while (i < arena.count && arena.gaps[i].at < at) i++;
    arena.blocks--;
    if (i > 0 && end_of(&arena.gaps[i - 1]) == at) {
        gap *before = &arena.gaps[i - 1];
        before->bytes += bytes;
        before->idle += bytes;
        if (i < arena.count && end_of(before) == arena.gaps[i].at) {
            before->bytes += arena.gaps[i].bytes;
            before->idle += arena.gaps[i].idle;
            remove_gap(i);
        }
    } else if (i < arena.count && at + bytes == arena.gaps[i].at) {
        gap *after = &arena.gaps[i];
        *after = (gap){at, after->bytes + bytes, after->idle + bytes};
    } else {
        memmove(arena.gaps + i + 1, arena.gaps + i, (arena.count - i) * sizeof *arena.gaps);
        arena.gaps[i] = (gap){at, bytes, bytes};
        arena.count++;
    }
}

void mien__arena_trim(void) {
    for (size_t i = 0; i < arena.count; i++) {
        madvise(arena.gaps[i].at, arena.gaps[i].bytes, MADV_DONTNEED);
        arena.gaps[i].idle = 0;
    }
}
