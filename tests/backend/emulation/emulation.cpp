/* Fibres for the threads of a block or cluster, and their barriers.
 * Not here: what kernels call (cuda_runtime.h). */
#include "cuda_runtime.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { STACK = 128 << 10, WARP = 32 };

struct barrier {
    int size, arrived, generation;
};

struct fibre {
    ucontext_t context; /* to enter */
    jmp_buf paused;     /* to go on: without the system calls of a context switch */
    bool entered;
    dim3 thread, block;
    int number, rank, lane;
    barrier *at; /* NULL: not waiting */
    int generation;
    bool done;
    uint64_t given;
};

std::vector<fibre> fibres;
std::vector<char *> stacks;
std::vector<barrier> blocks, warps;
std::vector<char> memory; /* shared memory of the blocks of a cluster, one after the other */
barrier whole;
size_t shared_bytes;
ucontext_t scheduler;
jmp_buf scheduled;
fibre *now;
mien_emulated_body run_body;
void *run_closure;
int order;

void enter(void) {
    run_body(run_closure);
    now->done = true;
    _longjmp(scheduled, 1);
}

void wait(barrier *b) {
    if (++b->arrived == b->size) {
        b->arrived = 0;
        b->generation++;
        return;
    }
    now->at = b;
    now->generation = b->generation;
    if (!_setjmp(now->paused)) _longjmp(scheduled, 1);
}

bool can_run(const fibre &f) {
    return !f.done && (!f.at || f.at->generation != f.generation);
}

void resume(fibre &f) {
    now = &f;
    f.at = NULL;
    threadIdx = f.thread;
    blockIdx = f.block;
    if (_setjmp(scheduled)) return;
    if (f.entered) _longjmp(f.paused, 1);
    f.entered = true;
    swapcontext(&scheduler, &f.context);
}

void prepare(int i) {
    fibre &f = fibres[(size_t)i];
    if (!f.context.uc_stack.ss_sp) getcontext(&f.context);
    f.context.uc_stack.ss_sp = stacks[(size_t)i];
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = NULL;
    makecontext(&f.context, enter, 0);
    f.done = f.entered = false;
    f.at = NULL;
}

void run_cluster(int threads, int cluster) {
    int n = threads * cluster, left = n, per_block = (threads + WARP - 1) / WARP;
    blocks.assign((size_t)cluster, barrier{threads, 0, 0});
    warps.clear();
    for (int i = 0; i < per_block * cluster; i++) {
        int first = i % per_block * WARP;
        warps.push_back(barrier{threads - first < WARP ? threads - first : (int)WARP, 0, 0});
    }
    whole = barrier{n, 0, 0};
    memory.assign(shared_bytes * (size_t)cluster + 1, (char)0xff); /* NaN */
    for (int i = 0; i < n; i++) prepare(i);
    while (left > 0) {
        int progress = 0;
        for (int i = 0; i < n; i++) {
            int step = n % 3 ? 3 : 1; /* visits all n */
            int j = order == 1 ? n - 1 - i : order == 2 ? (int)((int64_t)i * step % n) : i;
            fibre &f = fibres[(size_t)j];
            if (!can_run(f)) continue;
            resume(f);
            progress++;
            left -= f.done;
        }
        if (!progress) {
            fprintf(stderr, "emulation: the threads wait for each other for ever\n");
            abort();
        }
    }
}

} // namespace

extern "C" void mien_emulation_order(int wanted) {
    order = wanted;
}

void mien_emulate_run(dim3 grid, dim3 block, int cluster, size_t shared, mien_emulated_body body,
                      void *closure) {
    int threads = (int)(block.x * block.y * block.z);
    if (threads < 1 || threads > 1024 || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 ||
        grid.z > 65535 || grid.x % (unsigned)cluster) {
        fprintf(stderr, "emulation: no GPU takes %u,%u,%u blocks of %d threads\n", grid.x, grid.y,
                grid.z, threads);
        abort();
    }
    blockDim = block;
    gridDim = grid;
    shared_bytes = (shared + 15) / 16 * 16;
    run_body = body;
    run_closure = closure;
    while (stacks.size() < (size_t)(threads * cluster)) stacks.push_back((char *)malloc(STACK));
    if (fibres.size() < stacks.size()) {
        fibres.assign(stacks.size(), fibre()); /* a context must not move once it is made */
    }
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x += (unsigned)cluster) {
                for (int i = 0; i < threads * cluster; i++) {
                    fibre &f = fibres[(size_t)i];
                    int at = i % threads, bx = (int)block.x, by = (int)block.y;
                    f.rank = i / threads;
                    f.number = i;
                    f.lane = at % WARP;
                    f.thread = dim3((unsigned)(at % bx), (unsigned)(at / bx % by),
                                    (unsigned)(at / (bx * by)));
                    f.block = dim3(x + (unsigned)f.rank, y, z);
                }
                run_cluster(threads, cluster);
            }
}

void __syncthreads(void) {
    wait(&blocks[(size_t)now->rank]);
}

static int warp_of(const fibre *f) {
    int threads = blocks[0].size, per_block = (threads + WARP - 1) / WARP;
    return f->rank * per_block + f->number % threads / WARP;
}

void __syncwarp(void) {
    wait(&warps[(size_t)warp_of(now)]);
}

void mien_emulated_cluster_sync(void) {
    wait(&whole);
}

int mien_emulated_cluster_rank(void) {
    return now->rank;
}

void *mien_emulated_shared(void) {
    return &memory[shared_bytes * (size_t)now->rank];
}

void *mien_emulated_map(void *own, int rank) {
    return (char *)own + ((ptrdiff_t)rank - now->rank) * (ptrdiff_t)shared_bytes;
}

int mien_emulated_lane(void) {
    return now->lane;
}

uint64_t mien_emulated_exchange(uint64_t value, int lane) {
    now->given = value;
    __syncwarp();
    uint64_t found = fibres[(size_t)(now->number - now->lane + lane)].given;
    __syncwarp();
    return found;
}
