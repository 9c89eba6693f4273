/* anynorm_run on every device: layouts and alignments of host memory, memory that may not be
 * written or overrun, and tensors that travel in several blocks.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "spec/spec.h"
#include "spec/tensors.h"

#define EPS .statistic.eps = ANYNORM_EPS_DEFAULT
struct subject {
    const char *id;
    anynorm_device *device;
    anynorm_device_info info;
    struct errors worst;
};

static bool has_type(const struct subject *subject, anynorm_dtype type)
{
    if (type != ANYNORM_F64 || subject->info.fp64)
        return true;
    fprintf(stderr, "# skipped: %s has no f64\n", subject->id);
    return false;
}

static struct problem problem_of(uint64_t rows, anynorm_spec spec)
{
    static uint64_t seed = 100;
    return (struct problem){.spec = spec, .rows = rows, .seed = seed++};
}

static const anynorm_spec usual = {.columns = 50, .flags = ALL_FLAGS, EPS};
static const anynorm_spec two_level = {.columns = 50,
                                       .flags = ALL_FLAGS,
                                       EPS,
                                       .inner_rows = 4,
                                       .x.row_stride = 50,
                                       .x.outer_stride = 600,
                                       .y.row_stride = 53,
                                       .y.outer_stride = 230};

/* [images][50][6], normalized over the 50. */
static const anynorm_spec channels_first = {.columns = 50,
                                            .flags = ALL_FLAGS,
                                            EPS,
                                            .inner_rows = 6,
                                            .x.column_stride = 6,
                                            .y.column_stride = 6};
/* The same with gaps between the images of y and the channels of x. */
static const anynorm_spec channels_apart = {.columns = 50,
                                            .flags = ALL_FLAGS,
                                            EPS,
                                            .inner_rows = 6,
                                            .x.column_stride = 8,
                                            .y.outer_stride = 307,
                                            .y.column_stride = 6};

/* [images][10][30], normalized in six groups of five channels; and to groups each by itself. */
static const anynorm_spec channels_last = {.columns = 50,
                                           .flags = ALL_FLAGS,
                                           EPS,
                                           .inner_rows = 6,
                                           .x.column_stride = 30,
                                           .y.column_stride = 30,
                                           .column_run = 5,
                                           .parameters.rows = 6,
                                           .parameters.cycle = 5};
static const anynorm_spec channels_to_rows = {.columns = 50,
                                              .flags = ALL_FLAGS,
                                              EPS,
                                              .inner_rows = 6,
                                              .x.column_stride = 30,
                                              .y.row_stride = 53,
                                              .column_run = 5,
                                              .parameters.rows = 6,
                                              .parameters.cycle = 5};

/* ---- Running on images ---- */

static anynorm_host_tensors host_tensors(const struct problem *problem, const struct images *images)
{
    void *at[AN_TENSOR_COUNT] = {NULL};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (images->bytes[t])
            at[t] = images->bytes[t] + problem->offset[t];
    }
    at[AN_Y] = at[image_of(problem, AN_Y)];
    at[AN_SUM] = at[image_of(problem, AN_SUM)];
    return host_tensors_at(at);
}

static struct images run_copy(anynorm_plan *plan, const struct problem *problem,
                              const struct images *before)
{
    struct images after = images_copy(before);
    anynorm_host_tensors tensors = host_tensors(problem, &after);
    assert_ok(anynorm_run(plan, &tensors, problem->rows));
    return after;
}

static void check_run_with(struct subject *subject, anynorm_plan *plan,
                           const struct problem *problem)
{
    struct images before, after;
    images_make(problem, &before);
    after = run_copy(plan, problem, &before);
    check_against_oracle(problem, &before, &after, subject->id, &subject->worst);
    images_free(&before);
    images_free(&after);
}

static void check_run(struct subject *subject, const struct problem *problem)
{
    anynorm_plan *plan = make_plan(subject->device, &problem->spec, NULL);
    check_run_with(subject, plan, problem);
    anynorm_plan_destroy(plan);
}

/* ---- Layouts ---- */

static void test_dense(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t rows;
        uint64_t columns;
    } sizes[] = {{1, 1}, {1, 50}, {7, 3}, {33, 50}, {3, 769}, {1000, 17}};
    for (size_t i = 0; i < COUNT(sizes) && !(reduced() && i > 3); i++) {
        anynorm_spec spec = usual;
        spec.columns = sizes[i].columns;
        struct problem problem = problem_of(sizes[i].rows, spec);
        check_run(subject, &problem);
    }
}

static void test_every_type(void **state)
{
    struct subject *subject = *state;
    for (int type = 0; type < 4; type++) {
        anynorm_spec spec = usual;
        spec.x.type = spec.y.type = spec.parameters.type = (anynorm_dtype)type;
        struct problem problem = problem_of(9, spec);
        if (has_type(subject, spec.x.type))
            check_run(subject, &problem);
    }
}

static void test_every_subset_of_tensors(void **state)
{
    struct subject *subject = *state;
    for (uint32_t flags = 0; flags <= ALL_FLAGS; flags += reduced() ? 5 : 1) {
        anynorm_spec spec = usual;
        spec.flags = flags;
        struct problem problem = problem_of(6, spec);
        check_run(subject, &problem);
    }
}

/* The oracle's comparison looks at every byte of the gaps. */
static void test_gaps_keep_their_bytes(void **state)
{
    struct subject *subject = *state;
    anynorm_spec spec = usual;
    spec.x.row_stride = 61;
    spec.y.row_stride = 57;
    struct problem problem = problem_of(11, spec);
    check_run(subject, &problem);
    spec.x.row_stride = 0;
    problem = problem_of(11, spec);
    check_run(subject, &problem);
}

static void test_two_levels(void **state)
{
    struct subject *subject = *state;
    anynorm_plan *plan = make_plan(subject->device, &two_level, NULL);
    for (uint64_t rows = 1; rows <= 13; rows += reduced() ? 4 : 1) {
        struct problem problem = problem_of(rows, two_level);
        check_run_with(subject, plan, &problem);
    }
    anynorm_plan_destroy(plan);
}

static void test_columns_apart(void **state)
{
    struct subject *subject = *state;
    static const anynorm_spec *const specs[] = {&channels_first, &channels_apart, &channels_last,
                                                &channels_to_rows};
    for (size_t i = 0; i < COUNT(specs); i++) {
        anynorm_plan *plan = make_plan(subject->device, specs[i], NULL);
        for (uint64_t rows = 1; rows <= 19; rows += reduced() ? 6 : 1) {
            struct problem problem = problem_of(rows, *specs[i]);
            check_run_with(subject, plan, &problem);
        }
        anynorm_plan_destroy(plan);
    }
    /* One level: the first axis of a matrix; and to the rows of its transposed. */
    anynorm_spec spec = usual;
    spec.x.column_stride = 23;
    struct problem problem = problem_of(23, spec);
    check_run(subject, &problem);
    spec.y.column_stride = 25;
    problem = problem_of(23, spec);
    check_run(subject, &problem);
}

static void test_in_place(void **state)
{
    struct subject *subject = *state;
    anynorm_spec specs[5] = {usual, usual, two_level, channels_first, channels_last};
    specs[1].x.row_stride = specs[1].y.row_stride = 57;
    specs[2].y.row_stride = specs[2].x.row_stride;
    specs[2].y.outer_stride = specs[2].x.outer_stride;
    for (size_t i = 0; i < COUNT(specs); i++) {
        struct problem problem = problem_of(10, specs[i]);
        problem.y_place = OVER_X;
        check_run(subject, &problem);
        problem.offset[AN_X] = problem.offset[AN_MEAN] = 3;
        check_run(subject, &problem);
    }
}

/* A spec that asks for aligned tensors, and host pointers that are not. */
static void unaligned_of(struct subject *subject, anynorm_dtype type, uint32_t extra_flags)
{
    anynorm_spec spec = usual;
    spec.flags |= extra_flags;
    spec.x.type = spec.y.type = spec.parameters.type = type;
    if (!has_type(subject, type))
        return;
    anynorm_plan *plan = make_plan(subject->device, &spec, NULL);
    for (uint64_t byte = 0; byte < 8; byte++) {
        for (int alone = -1; alone < AN_TENSOR_COUNT && !(reduced() && alone >= 0); alone++) {
            struct problem problem = problem_of(5, spec);
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                problem.offset[t] = alone < 0 || alone == t ? byte : 0;
            check_run_with(subject, plan, &problem);
        }
    }
    anynorm_plan_destroy(plan);
}

static void test_unaligned_pointers(void **state)
{
    unaligned_of(*state, ANYNORM_F32, 0);
    unaligned_of(*state, ANYNORM_F16, 0);
    unaligned_of(*state, ANYNORM_F64, 0);
}

static void test_unaligned_pointers_any_alignment(void **state)
{
    unaligned_of(*state, ANYNORM_F32, ANYNORM_ANY_ALIGNMENT);
}

/* ---- x and y in one memory ---- */

struct slices {
    const anynorm_spec *spec;
    uint64_t rows;
    uint64_t x_byte;
    uint64_t y_byte;
};

static void move_rows(const struct problem *problem, enum an_tensor tensor, unsigned char *to,
                      const unsigned char *from)
{
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    struct an_layout layout =
        tensor == AN_X ? an_spec_layout(&spec, &spec.x) : an_spec_layout(&spec, &spec.y);
    size_t size = anynorm_dtype_size(an_tensor_expect(&spec, tensor).type);
    for (uint64_t r = 0; r < problem->rows; r++) {
        for (uint64_t c = 0; c < spec.columns; c++) {
            uint64_t at = (an_layout_start(&layout, r) + an_layout_column(&layout, c)) * size;
            memcpy(to + at, from + at, size);
        }
    }
}

#define WIDE_BYTES 65536

static void check_slices(struct subject *subject, anynorm_device *device,
                         const struct slices *slices, uint64_t shift)
{
    struct problem problem = problem_of(slices->rows, *slices->spec);
    struct images before, after;
    images_make(&problem, &before);
    after = images_copy(&before);
    assert_true(slices->x_byte + shift + before.size[AN_X] <= WIDE_BYTES);
    assert_true(slices->y_byte + shift + before.size[AN_Y] <= WIDE_BYTES);
    unsigned char *wide = malloc(2 * WIDE_BYTES);
    assert_non_null(wide);
    unsigned char *kept = wide + WIDE_BYTES;
    memset(wide, 0xff, WIDE_BYTES);
    move_rows(&problem, AN_X, wide + shift + slices->x_byte, before.bytes[AN_X]);
    memcpy(kept, wide, WIDE_BYTES);

    anynorm_host_tensors tensors = host_tensors(&problem, &after);
    tensors.x = wide + shift + slices->x_byte;
    tensors.y = wide + shift + slices->y_byte;
    anynorm_plan *plan = make_plan(device, slices->spec, NULL);
    assert_ok(anynorm_run(plan, &tensors, problem.rows));
    anynorm_plan_destroy(plan);

    move_rows(&problem, AN_Y, after.bytes[AN_Y], wide + shift + slices->y_byte);
    check_against_oracle(&problem, &before, &after, subject->id, &subject->worst);
    move_rows(&problem, AN_Y, wide + shift + slices->y_byte, kept + shift + slices->y_byte);
    assert_memory_equal(wide, kept, WIDE_BYTES);
    free(wide);
    images_free(&before);
    images_free(&after);
}

static const anynorm_spec side_by_side = {
    .columns = 50, .flags = ALL_FLAGS, EPS, .x.row_stride = 107, .y.row_stride = 107};
/* Of [tokens][3][heads 4][16]. */
static const anynorm_spec within_qkv = {.columns = 16,
                                        .flags = ALL_FLAGS,
                                        EPS,
                                        .inner_rows = 4,
                                        .x.row_stride = 16,
                                        .y.row_stride = 16,
                                        .x.outer_stride = 192,
                                        .y.outer_stride = 192};
static const anynorm_spec outer_strides_differ = {.columns = 16,
                                                  .flags = ALL_FLAGS,
                                                  EPS,
                                                  .inner_rows = 2,
                                                  .x.row_stride = 40,
                                                  .y.row_stride = 40,
                                                  .x.outer_stride = 120,
                                                  .y.outer_stride = 80};
static const anynorm_spec half_to_float = {.columns = 5,
                                           .x.type = ANYNORM_F16,
                                           .flags = ALL_FLAGS,
                                           EPS,
                                           .x.row_stride = 32,
                                           .y.row_stride = 16};

/* Channels of [n][12][7], six of them to the other six. */
static const anynorm_spec within_channels = {.columns = 6,
                                             .flags = ALL_FLAGS,
                                             EPS,
                                             .inner_rows = 7,
                                             .x.outer_stride = 84,
                                             .y.outer_stride = 84,
                                             .x.column_stride = 7,
                                             .y.column_stride = 7};

/* Channels of [n][5][16], eight of them in two groups to the other eight. */
static const anynorm_spec within_groups = {.columns = 20,
                                           .flags = ALL_FLAGS,
                                           EPS,
                                           .inner_rows = 2,
                                           .x.row_stride = 4,
                                           .y.row_stride = 4,
                                           .x.outer_stride = 80,
                                           .y.outer_stride = 80,
                                           .x.column_stride = 16,
                                           .y.column_stride = 16,
                                           .column_run = 4};
/* Every 32 bytes a group of x and one of y. */
static const anynorm_spec half_to_float_groups = {.columns = 20,
                                                  .x.type = ANYNORM_F16,
                                                  .flags = ALL_FLAGS,
                                                  EPS,
                                                  .inner_rows = 2,
                                                  .x.row_stride = 16,
                                                  .y.row_stride = 8,
                                                  .x.outer_stride = 160,
                                                  .y.outer_stride = 80,
                                                  .x.column_stride = 32,
                                                  .y.column_stride = 16,
                                                  .column_run = 4};

static const struct slices all_slices[] = {
    {&side_by_side, 9, 0, 208},
    {&side_by_side, 9, 208, 0},
    {&within_qkv, 12, 0, 256}, /* q into k */
    {&within_qkv, 11, 512, 0}, /* v into q */
    {&outer_strides_differ, 10, 0, 80},
    {&within_channels, 28, 0, 168},
    {&within_channels, 26, 168, 0},
    {&within_groups, 6, 0, 32},
    {&within_groups, 5, 32, 0},
    {&half_to_float_groups, 6, 2, 12},
    /* At distances that no copy of the shared memory can keep: 4 for f16, and 1 more. */
    {&half_to_float, 9, 2, 12},
    {&half_to_float, 9, 30, 4},
    {&side_by_side, 9, 0, 209},
    {&side_by_side, 9, 211, 0},
};

static void test_slices_of_one_tensor(void **state)
{
    struct subject *subject = *state;
    for (size_t i = 0; i < COUNT(all_slices); i++) {
        for (uint64_t shift = 0; shift < 8; shift += reduced() ? 5 : 1)
            check_slices(subject, subject->device, &all_slices[i], shift);
    }
}

/* ---- Memory with edges ---- */

static void test_read_only_and_guarded_memory(void **state)
{
    struct subject *subject = *state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 3 * page;
    struct problem problem = problem_of(13, usual);
    struct images before, after;
    unsigned char *base[AN_TENSOR_COUNT];
    images_make(&problem, &before);
    after = images_copy(&before);
    /* Each tensor ends where memory that must not be touched begins. */
    struct images fenced = before;
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        bool is_output = t == AN_Y || t == AN_MEAN || t == AN_RSTD;
        size_t used = (size_t)before.size[t] - 64; /* without the image's own guard */
        assert_true(used <= bytes - 2 * page + page);
        base[t] =
            mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(base[t] != MAP_FAILED);
        fenced.bytes[t] = base[t] + bytes - used;
        memcpy(fenced.bytes[t], before.bytes[t], used);
        assert_int_equal(mprotect(base[t] + bytes, page, PROT_NONE), 0);
        if (!is_output)
            assert_int_equal(mprotect(base[t], bytes, PROT_READ), 0);
    }
    anynorm_plan *plan = make_plan(subject->device, &usual, NULL);
    anynorm_host_tensors tensors = host_tensors(&problem, &fenced);
    assert_ok(anynorm_run(plan, &tensors, problem.rows));
    anynorm_plan_destroy(plan);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        memcpy(after.bytes[t], fenced.bytes[t], (size_t)before.size[t] - 64);
        munmap(base[t], bytes + page);
    }
    check_against_oracle(&problem, &before, &after, subject->id, &subject->worst);
    images_free(&before);
    images_free(&after);
}

/* ---- Blocks ---- */

static anynorm_device *open_limited(const struct subject *subject, bool unified, uint64_t bytes)
{
    char caps[64];
    snprintf(caps, sizeof(caps), "%smax-alloc=%llu", unified ? "" : "no-unified,",
             (unsigned long long)bytes);
    return open_device_with(subject->id, caps);
}

/* The same bits as in one block, at every limit; and refused, untouched, at one byte less than what
 * one group of rows needs. */
static void check_blocks(struct subject *subject, const struct problem *problem, uint64_t least)
{
    static const uint64_t percent[] = {0, 1, 30, 120, 200, 270, 1000, 100000};
    struct images before, whole;
    images_make(problem, &before);
    anynorm_plan *plan = make_plan(subject->device, &problem->spec, NULL);
    whole = run_copy(plan, problem, &before);
    anynorm_plan_destroy(plan);
    check_against_oracle(problem, &before, &whole, subject->id, &subject->worst);
    for (size_t i = 0; i < 2 * COUNT(percent); i++) {
        uint64_t limit = least + least * percent[i / 2] / 100;
        anynorm_device *device = open_limited(subject, i % 2, limit);
        plan = make_plan(device, &problem->spec, NULL);
        struct images after = run_copy(plan, problem, &before);
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            if (after.bytes[t])
                assert_memory_equal(after.bytes[t], whole.bytes[t], (size_t)after.size[t]);
        }
        images_free(&after);
        anynorm_plan_destroy(plan);
        anynorm_device_close(device);
        if (reduced())
            i += 3;
    }
    for (int unified = 0; unified < 2; unified++) {
        anynorm_device *device = open_limited(subject, unified, least - 1);
        plan = make_plan(device, &problem->spec, NULL);
        struct images after = images_copy(&before);
        anynorm_host_tensors tensors = host_tensors(problem, &after);
        assert_status(anynorm_run(plan, &tensors, problem->rows), ANYNORM_OUT_OF_MEMORY);
        assert_true(*anynorm_message());
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            if (after.bytes[t])
                assert_memory_equal(after.bytes[t], before.bytes[t], (size_t)after.size[t]);
        }
        images_free(&after);
        anynorm_plan_destroy(plan);
        anynorm_device_close(device);
    }
    images_free(&before);
    images_free(&whole);
}

static void test_blocks_of_dense_rows(void **state)
{
    struct problem problem = problem_of(37, usual);
    check_blocks(*state, &problem, 50 * 4);
    problem.offset[AN_X] = problem.offset[AN_RSTD] = 1;
    problem.offset[AN_Y] = 2;
    check_blocks(*state, &problem, 50 * 4);
    problem.y_place = OVER_X;
    check_blocks(*state, &problem, 50 * 4);
}

static void test_blocks_below_a_parameter(void **state)
{
    anynorm_spec spec = usual;
    spec.x.type = spec.y.type = ANYNORM_F16;
    struct problem problem = problem_of(37, spec);
    check_blocks(*state, &problem, 50 * 4);
}

static void test_blocks_of_strided_rows(void **state)
{
    anynorm_spec spec = usual;
    spec.x.row_stride = 61;
    spec.y.row_stride = 57;
    struct problem problem = problem_of(37, spec);
    check_blocks(*state, &problem, 50 * 4);
}

static void test_blocks_of_two_levels(void **state)
{
    struct problem problem = problem_of(30, two_level);
    check_blocks(*state, &problem, (3 * 53 + 50) * 4);
    problem.rows = 4; /* one group, and less: row by row */
    check_blocks(*state, &problem, 50 * 4);
    problem.rows = 3;
    check_blocks(*state, &problem, 50 * 4);
}

/* Whole images, or, of one image, rows of which each reaches from its first channel to its last. */
static void test_blocks_of_columns_apart(void **state)
{
    struct problem problem = problem_of(30, channels_first);
    check_blocks(*state, &problem, 50 * 6 * 4);
    problem.y_place = OVER_X;
    check_blocks(*state, &problem, 50 * 6 * 4);
    problem = problem_of(30, channels_apart);
    check_blocks(*state, &problem, (49 * 8 + 6) * 4);
    problem = problem_of(6, channels_first);
    check_blocks(*state, &problem, (49 * 6 + 1) * 4);
    problem.y_place = OVER_X;
    check_blocks(*state, &problem, (49 * 6 + 1) * 4);
}

static void test_blocks_of_slices(void **state)
{
    struct subject *subject = *state;
    static const uint64_t limits[] = {416, 1000, 1500, 3000, 1 << 20};
    for (size_t i = 0; i < 2 * COUNT(limits); i++) {
        anynorm_device *device = open_limited(subject, i % 2, limits[i / 2]);
        for (size_t k = 0; k < COUNT(all_slices); k++) {
            if (all_slices[k].spec->inner_rows == 0 || limits[i / 2] >= 1500) {
                check_slices(subject, device, &all_slices[k], 0);
                check_slices(subject, device, &all_slices[k], 3);
            }
        }
        anynorm_device_close(device);
        if (reduced())
            i += 2;
    }
}

/* ---- Every device ---- */

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    *subject = (struct subject){.id = *state};
    *state = subject;
    subject->device = open_device(subject->id);
    assert_ok(anynorm_device_describe(subject->device, &subject->info));
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_device_close(subject->device);
    return 0;
}

int main(void)
{
    static const struct device_test tests[] = {
        {"dense", test_dense},
        {"every type", test_every_type},
        {"every subset of tensors", test_every_subset_of_tensors},
        {"gaps keep their bytes", test_gaps_keep_their_bytes},
        {"two levels", test_two_levels},
        {"columns apart", test_columns_apart},
        {"in place", test_in_place},
        {"unaligned pointers", test_unaligned_pointers},
        {"unaligned pointers, any alignment", test_unaligned_pointers_any_alignment},
        {"slices of one tensor", test_slices_of_one_tensor},
        {"read-only and guarded memory", test_read_only_and_guarded_memory},
        {"blocks of dense rows", test_blocks_of_dense_rows},
        {"blocks below a parameter", test_blocks_below_a_parameter},
        {"blocks of strided rows", test_blocks_of_strided_rows},
        {"blocks of two levels", test_blocks_of_two_levels},
        {"blocks of columns apart", test_blocks_of_columns_apart},
        {"blocks of slices", test_blocks_of_slices},
    };
    return run_on_devices("run", tests, COUNT(tests), open_subject, close_subject);
}
