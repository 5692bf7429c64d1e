/* Batches that come to a GPU while the one before is used: never too late, never over what is still
 * read, nothing left behind. The fake GPU does each copy as late as it may, and refuses early ones.
 * Not here: pixels (test_loader.c), the op `augment` (test_backends.c). */
#define _GNU_SOURCE /* dladdr */
#include "data_files.h"

#include "backend/backend.h"
#include "data/loader.h"
#include "scenario.h"

enum { FRAMES = 96, HEIGHT = 12, WIDTH = 10, FRAME = HEIGHT * WIDTH * 3, T = 4, B = 2, MOST = 8 };
static const int64_t starts[15] = {80, 0, 10, 43, 5, 60, 60, 33, 71, 2, 3, 90, 17, 29, 50};
static const char *corpus;

static mien_loader_config config(void) {
    return (mien_loader_config){.sequence = T,
                                .batch = B,
                                .height = 8,
                                .width = 8,
                                .random_crop = 1,
                                .saturation_low = 0.5,
                                .saturation_high = 1.5,
                                .per_frame = 1,
                                .sd = {1, 1, 1},
                                .workers = 3,
                                .keep_last = 1,
                                .device = MIEN_DEVICE_CUDA};
}

typedef struct batch {
    mien_tensor *frames, *labels, *draws;
    int64_t starts[B];
} batch;

static int next(mien_loader *loader, batch *b) {
    return mien_loader_next(loader, &b->frames, &b->labels, &b->draws, b->starts);
}

static void drop(batch *b) {
    mien_tensor_release(b->frames);
    mien_tensor_release(b->labels);
    mien_tensor_release(b->draws);
}

/* Are these the corpus's frames? Byte i of it is (7 i + 3) modulo 251. */
static bool right(const batch *b) {
    mien_tensor *here = mien_tensor_to(b->frames, MIEN_U8, MIEN_DEVICE_CPU);
    const uint8_t *pixels = here ? mien_tensor_data(here) : NULL;
    bool same = pixels != NULL;
    for (int w = 0; same && w < (int)mien_tensor_size(here, 0); w++)
        for (int i = 0; i < T * FRAME; i++)
            same = same && pixels[w * T * FRAME + i] == ((b->starts[w] * FRAME + i) * 7 + 3) % 251;
    mien_tensor_release(here);
    return same;
}

/* The draws of all batches, in one array. */
static int read_draws(const batch *b, int n, double *all) {
    int count = 0;
    for (int i = 0; i < n; i++) {
        int size = (int)mien_tensor_count(b[i].draws);
        HOLDS(mien_tensor_read(b[i].draws, all + count, size) == MIEN_OK);
        count += size;
    }
    return count;
}

static void nothing_is_left(void *gpu) {
    mien_memory_stats stats;
    for (int device = MIEN_DEVICE_CPU; device <= MIEN_DEVICE_CUDA; device++) {
        mien_memory((mien_device)device, &stats);
        HOLDS(stats.live_storages == 0);
    }
    HOLDS(*(size_t *)dlsym(gpu, "fake_gpu_pinned") == 0);
    HOLDS(*(size_t *)dlsym(gpu, "fake_gpu_fences") == 0);
}

static mien_loader *loader_of(const mien_loader_config *c) {
    mien_loader *loader = mien_loader_new(corpus, starts, 15, c);
    HOLDS(loader);
    return loader;
}

/* Nobody uses a batch before all were asked for, so that each copy is done at the last moment: when
 * its pinned memory is filled again, or when it is read. */
static void a_batch_is_whole_when_it_is_used_late(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    mien_loader_config c = config();
    double once[MOST * B * T * 5], again[MOST * B * T * 5];
    mien_loader *loader = loader_of(&c);
    HOLDS(!mien_loader_unpinned(loader));
    batch all[MOST];
    for (int i = 0; i < MOST; i++) {
        HOLDS(next(loader, &all[i]) == 1);
        HOLDS(mien_tensor_device(all[i].frames) == MIEN_DEVICE_CUDA);
        HOLDS(mien_tensor_device(all[i].draws) == MIEN_DEVICE_CUDA);
        HOLDS(mien_tensor_size(all[i].frames, 0) == (i < MOST - 1 ? B : 1));
    }
    HOLDS(next(loader, &all[0]) == 0);
    for (int i = 0; i < MOST; i++) HOLDS(right(&all[i]));
    int count = read_draws(all, MOST, once);
    for (int i = 0; i < MOST; i++) drop(&all[i]);
    mien_loader_close(loader);
    nothing_is_left(gpu);

    c.workers = 1;
    loader = loader_of(&c);
    for (int i = 0, at = 0; i < MOST; i++) {
        HOLDS(next(loader, &all[0]) == 1 && right(&all[0]));
        at += read_draws(&all[0], 1, again + at);
        drop(&all[0]);
    }
    mien_loader_close(loader);
    HOLDS(!memcmp(once, again, sizeof *once * (size_t)count));
    nothing_is_left(gpu);
}

/* Work on a batch, given back at once as the loader's Lua side does: the pool hands its memory to
 * the batch after next, whose copy has to wait for that work and for no later one. */
static void memory_is_not_written_while_work_reads_it(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    mien_loader_config c = config();
    mien_loader *loader = loader_of(&c);
    const int64_t shape[] = {B, T, HEIGHT, WIDTH, 3};
    mien_tensor *step = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CUDA, 5, shape);
    const int64_t bytes = B * T * (FRAME + 5 * (int64_t)sizeof(float));
    mien_memory_stats stats;
    batch b;
    for (int i = 0; i < MOST - 1; i++) {
        HOLDS(next(loader, &b) == 1);
        mien_memory(MIEN_DEVICE_CUDA, &stats);
        HOLDS(stats.live_bytes <= 2 * bytes + B * T * FRAME); /* this one, the next, and `step` */
        HOLDS(mien_tensor_copy(step, b.frames) == MIEN_OK);
        mien_tensor *frames = b.frames;
        drop(&b);
        b.frames = step;
        HOLDS(right(&b) && frames);
    }
    mien_tensor_release(step);
    mien_loader_close(loader);
    nothing_is_left(gpu);
}

static void a_copy_that_fails_is_told_with_its_batch(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    size_t *left = dlsym(gpu, "fake_gpu_copies_left");
    mien_loader_config c = config();
    *left = 5; /* two a batch: the draws of the third */
    mien_loader *loader = loader_of(&c);
    batch b;
    for (int i = 0; i < 2; i++) {
        HOLDS(next(loader, &b) == 1 && right(&b));
        drop(&b);
    }
    for (int i = 0; i < 2; i++) {
        HOLDS(next(loader, &b) == -1);
        SAYS("a copy fails");
    }
    *left = SIZE_MAX;
    HOLDS(next(loader, &b) == 1 && right(&b) && b.starts[0] == starts[2 * B]);
    drop(&b);
    mien_loader_close(loader);
    *left = 1; /* closed with half a batch under way */
    loader = loader_of(&c);
    HOLDS(next(loader, &b) == -1);
    mien_loader_close(loader);
    nothing_is_left(gpu);
}

static void full_memory_is_told_with_its_batch(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    size_t *limit = dlsym(gpu, "fake_gpu_limit");
    mien_loader_config c = config();
    mien_loader *loader = loader_of(&c);
    batch a, b;
    *limit = 0; /* the first batch has its place already */
    HOLDS(next(loader, &a) == 1 && right(&a));
    HOLDS(next(loader, &b) == -1);
    HOLDS(mien_error_last()->code == MIEN_ERR_MEMORY);
    SAYS("smaller batch");
    drop(&a);
    HOLDS(next(loader, &b) == 1 && right(&b) && b.starts[0] == starts[B]);
    drop(&b);
    mien_loader_close(loader);
    nothing_is_left(gpu);
}

static void without_pinned_memory_batches_are_the_same(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    size_t *limit = dlsym(gpu, "fake_gpu_pin_limit");
    *limit = B * T * FRAME * 2; /* for one slot, not for all */
    mien_loader_config c = config();
    mien_loader *loader = loader_of(&c);
    HOLDS(mien_loader_unpinned(loader) && strstr(mien_loader_unpinned(loader), "be pinned"));
    HOLDS(*(size_t *)dlsym(gpu, "fake_gpu_pinned") == 0);
    batch b;
    for (int i = 0; i < MOST; i++) {
        HOLDS(next(loader, &b) == 1 && right(&b));
        HOLDS(mien_tensor_device(b.draws) == MIEN_DEVICE_CUDA);
        drop(&b);
    }
    HOLDS(next(loader, &b) == 0);
    mien_loader_close(loader);
    nothing_is_left(gpu);
}

static void closed_at_any_time_nothing_is_left(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    mien_loader_config c = config();
    for (c.first_step = 0; c.first_step <= MOST; c.first_step++)
        for (int pulls = 0; pulls <= MOST - c.first_step; pulls++) {
            mien_loader *loader = loader_of(&c);
            batch b;
            for (int i = 0; i < pulls; i++) {
                HOLDS(next(loader, &b) == 1);
                drop(&b);
            }
            if (pulls == 3) {
                mien_interrupt_request();
                HOLDS(next(loader, &b) == (c.first_step == MOST - 3 ? 0 : -1));
                mien_interrupt_clear();
            }
            mien_loader_close(loader);
            nothing_is_left(gpu);
        }
    HOLDS(*(size_t *)dlsym(gpu, "fake_gpu_pins") > 0);
}

static void a_lost_gpu_does_not_hold_up_the_end(void) {
    void *gpu = fake_gpu("libfake_gpu_ops.so");
    mien_loader_config c = config();
    mien_loader *loader = loader_of(&c);
    batch b;
    HOLDS(next(loader, &b) == 1);
    drop(&b);
    *(bool *)dlsym(gpu, "fake_gpu_lost") = true;
    HOLDS(next(loader, &b) == -1);
    SAYS("restart");
    mien_loader_close(loader);
    nothing_is_left(gpu);
}

#define SCENARIOS(XX)                                                                              \
    XX(a_batch_is_whole_when_it_is_used_late)                                                      \
    XX(memory_is_not_written_while_work_reads_it)                                                  \
    XX(a_copy_that_fails_is_told_with_its_batch)                                                   \
    XX(full_memory_is_told_with_its_batch)                                                         \
    XX(without_pinned_memory_batches_are_the_same)                                                 \
    XX(closed_at_any_time_nothing_is_left)                                                         \
    XX(a_lost_gpu_does_not_hold_up_the_end)
SCENARIOS(SCENARIO)

static int write_it(void **state) {
    corpus = scratch("corpus.h5");
    write_corpus(corpus, FRAMES, HEIGHT, WIDTH, 2, -1);
    return 0;
}

int main(void) {
#define XX(scenario) {#scenario, test_##scenario, NULL, NULL, NULL},
    const struct CMUnitTest tests[] = {SCENARIOS(XX)};
#undef XX
    return cmocka_run_group_tests(tests, write_it, scratch_remove);
}
