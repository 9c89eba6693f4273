#include "bad_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refused.h"
#include "spec_flags.h"

/* Before the first tensor and after the last there is room for another. */
#define MARGIN 4096

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;

const anynorm_spec arena_specs[] = {
    /* Fourteen tensors, five of them outputs. */
    {.columns = 6,
     .x.type = ANYNORM_F32,
     .y.type = ANYNORM_I8,
     .parameters.type = ANYNORM_BF16,
     .flags = WEIGHT | BIAS | MEAN_OUT | RSTD_OUT | RESIDUAL | GATE | PRE_BIAS | SUM | SCALE |
              SHIFT | PARTIALS_IN | Y_SCALE_OUT,
     .x.row_stride = 7,
     .residual.type = ANYNORM_BF16,
     .sum.type = ANYNORM_F32,
     .gate.type = ANYNORM_F16,
     .scale.type = ANYNORM_F32,
     .shift.type = ANYNORM_F16,
     .gate.row_stride = 11,
     .residual.row_stride = 8,
     .sum.row_stride = 9,
     .sample_rows = 2,
     .parameters.rows = 3,
     .parameters.run = 2,
     .statistic.shards = 3},
    /* No y, and partials as an output. */
    {.columns = 6,
     .x.type = ANYNORM_F16,
     .flags = PARTIALS_OUT | RESIDUAL | SUM,
     .residual.type = ANYNORM_F32,
     .sum.type = ANYNORM_F16,
     .sum.row_stride = 8},
    /* Mean, rstd and y_scale as inputs. */
    {.columns = 6,
     .x.type = ANYNORM_F32,
     .y.type = ANYNORM_F8E4M3,
     .parameters.type = ANYNORM_F32,
     .flags = WEIGHT | BIAS | MEAN_IN | RSTD_IN | Y_SCALE_IN},
};
const size_t arena_spec_count = COUNT(arena_specs);

void arena_make(const anynorm_spec *spec, struct arena *arena)
{
    *arena = (struct arena){.bytes = MARGIN};
    assert_ok(an_spec_resolve(spec, &arena->spec));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!an_tensor_expect(&arena->spec, (enum an_tensor)t).present)
            continue;
        assert_true(
            an_tensor_extent(&arena->spec, (enum an_tensor)t, ARENA_ROWS, &arena->extent[t]));
        arena->begin[t] = arena->bytes;
        arena->bytes += (arena->extent[t] + 511) / 256 * 256;
    }
    arena->bytes += MARGIN;
}

anynorm_tensors arena_tensors(const struct arena *arena, const anynorm_buffer *memory)
{
    anynorm_tensors tensors = {.x = {0}};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        if (arena->extent[t] == 0)
            continue;
        *slot = *memory;
        slot->offset = arena->begin[t];
        slot->bytes = arena->begin[t] + arena->extent[t];
    }
    return tensors;
}

/* ---- Overlaps ---- */

/* Marks the bytes of the tensor's elements, as the header says where they lie. */
static void mark(const struct arena *arena, enum an_tensor tensor, uint64_t begin,
                 unsigned char *marks)
{
    const anynorm_spec *spec = &arena->spec;
    size_t size = anynorm_dtype_size(an_tensor_expect(spec, tensor).type);
    enum an_shape shape = an_tensor_shape(tensor);
    if (shape != AN_OF_ROWS && shape != AN_OF_SAMPLES) {
        memset(marks + begin, 1, (size_t)arena->extent[tensor]);
        return;
    }
    struct an_layout layout = an_tensor_layout(spec, tensor);
    for (uint64_t i = 0; i < an_tensor_rows(spec, tensor, ARENA_ROWS) * spec->columns; i++)
        memset(marks + begin + (i / spec->columns * layout.row_stride + i % spec->columns) * size,
               1, size);
}

static bool shares_a_byte(const struct arena *arena, const struct overlap *overlap)
{
    bool shares = false;
    unsigned char *mine = calloc((size_t)arena->bytes, 1);
    unsigned char *others = calloc((size_t)arena->bytes, 1);
    assert_true(mine && others);
    mark(arena, overlap->output, overlap->begin, mine);
    mark(arena, overlap->other, arena->begin[overlap->other], others);
    for (uint64_t i = 0; i < arena->bytes; i++)
        shares = shares || (mine[i] && others[i]);
    free(mine);
    free(others);
    return shares;
}

/* y or sum being x or residual itself. */
static bool is_allowed(const struct arena *arena, const struct overlap *overlap)
{
    struct an_layout a = an_tensor_layout(&arena->spec, overlap->output);
    struct an_layout b = an_tensor_layout(&arena->spec, overlap->other);
    return (overlap->output == AN_Y || overlap->output == AN_SUM) &&
           (overlap->other == AN_X || overlap->other == AN_RESIDUAL) &&
           overlap->begin == arena->begin[overlap->other] &&
           an_tensor_expect(&arena->spec, overlap->output).type ==
               an_tensor_expect(&arena->spec, overlap->other).type &&
           a.row_stride == b.row_stride;
}

bool arena_overlap(const struct arena *arena, unsigned way, struct overlap *overlap)
{
    for (int pair = 0; pair < AN_TENSOR_COUNT * AN_TENSOR_COUNT; pair++) {
        enum an_tensor output = (enum an_tensor)(pair / AN_TENSOR_COUNT);
        enum an_tensor other = (enum an_tensor)(pair % AN_TENSOR_COUNT);
        struct an_expectation expected = an_tensor_expect(&arena->spec, output);
        if (!expected.output || output == other || arena->extent[other] == 0)
            continue;
        uint64_t size = anynorm_dtype_size(expected.type), begin = arena->begin[other];
        uint64_t last = begin + (arena->extent[other] - 1) / size * size;
        /* On it, an element further, only its last byte, and only our last element. */
        const uint64_t begins[] = {begin, begin + size, last,
                                   begin - (arena->extent[output] - size)};
        for (size_t i = 0; i < COUNT(begins); i++) {
            *overlap = (struct overlap){output, other, begins[i]};
            if (shares_a_byte(arena, overlap) && !is_allowed(arena, overlap) && way-- == 0)
                return true;
        }
    }
    return false;
}

/* ---- The wrong ways ---- */

static void refuse(const struct bad_tensors *bad, const char *what, enum an_tensor tensor,
                   const anynorm_tensors *tensors, uint64_t rows)
{
    make_message_stale();
    anynorm_status status = bad->submit(bad->user, tensors, rows);
    const char *name = tensor == AN_TENSOR_COUNT ? "" : an_tensor_name(tensor);
    if (status != invalid || !message_has(name))
        fprintf(stderr, "%s: %s\n", name, what);
    check_refused_naming(status, invalid, name, __FILE__, __LINE__);
}

void assert_overlap_is_told(const struct overlap *overlap)
{
    const char *output = an_tensor_name(overlap->output), *other = an_tensor_name(overlap->other);
    char told[64], told_of_other[64];
    snprintf(told, sizeof(told), "%s overlaps %s;", output, other);
    snprintf(told_of_other, sizeof(told_of_other), "%s overlaps %s;", other, output);
    assert_true(strstr(anynorm_message(), told) == anynorm_message() ||
                strstr(anynorm_message(), told_of_other) == anynorm_message());
}

static void assert_untouched(const struct bad_tensors *bad)
{
    unsigned char *now = malloc((size_t)bad->arena.bytes);
    assert_non_null(now);
    bad->read(bad->user, now, bad->arena.bytes);
    for (uint64_t i = 0; i < bad->arena.bytes; i++)
        assert_int_equal(now[i], ARENA_POISON);
    free(now);
}

static void refuse_one(const struct bad_tensors *bad, enum an_tensor tensor)
{
    const struct arena *arena = &bad->arena;
    const anynorm_tensors good = arena_tensors(arena, &bad->memory);
    const anynorm_buffer *is = an_tensor_buffer(&good, tensor);
    uint64_t size = anynorm_dtype_size(an_tensor_expect(&arena->spec, tensor).type);
    const struct {
        const char *what;
        anynorm_buffer buffer;
        uint64_t offset;
        uint64_t bytes;
        const void *owner;
    } spoiled[] = {
        {"missing", {0}, 0, 0, NULL},
        {"no memory", *is, is->offset, 0, is->owner},
        {"one byte short", *is, is->offset, is->bytes - 1, is->owner},
        {"one element short", *is, is->offset + size, is->bytes, is->owner},
        {"at its end", *is, is->bytes, is->bytes, is->owner},
        {"past its end", *is, is->bytes + size, is->bytes, is->owner},
        {"at 2^32", *is, UINT64_C(1) << 32, is->bytes, is->owner},
        {"at 2^63", *is, UINT64_C(1) << 63, is->bytes, is->owner},
        {"wrapping", *is, UINT64_MAX - (size - 1), is->bytes, is->owner},
        {"wrapping to its end", *is, UINT64_MAX - (arena->extent[tensor] - 1), UINT64_MAX,
         is->owner},
        {"of nobody", *is, is->offset, is->bytes, NULL},
        {"of somebody", *is, is->offset, is->bytes, bad},
        {"of another device", bad->stranger, is->offset, is->bytes, bad->stranger.owner},
    };
    for (size_t i = 0; i < COUNT(spoiled) - (bad->stranger.kind == 0 ? 1 : 0); i++) {
        anynorm_tensors tensors = good;
        anynorm_buffer *slot = an_tensor_slot(&tensors, tensor);
        *slot = spoiled[i].buffer;
        slot->offset = spoiled[i].offset;
        slot->bytes = spoiled[i].bytes;
        slot->owner = spoiled[i].owner;
        refuse(bad, spoiled[i].what, tensor, &tensors, ARENA_ROWS);
    }
    for (uint64_t shift = 1; shift < size; shift++) {
        anynorm_tensors tensors = good;
        an_tensor_slot(&tensors, tensor)->offset += shift;
        an_tensor_slot(&tensors, tensor)->bytes += shift;
        refuse(bad, "unaligned", tensor, &tensors, ARENA_ROWS);
    }
}

void refuse_bad_tensors(const struct bad_tensors *bad)
{
    const struct arena *arena = &bad->arena;
    const anynorm_tensors good = arena_tensors(arena, &bad->memory);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_tensors tensors = good;
        if (arena->extent[t] > 0) {
            refuse_one(bad, (enum an_tensor)t);
        } else {
            *an_tensor_slot(&tensors, (enum an_tensor)t) = bad->memory;
            refuse(bad, "superfluous", (enum an_tensor)t, &tensors, ARENA_ROWS);
        }
    }
    struct overlap overlap;
    for (unsigned way = 0; arena_overlap(arena, way, &overlap); way++) {
        anynorm_tensors tensors = good;
        anynorm_buffer *slot = an_tensor_slot(&tensors, overlap.output);
        slot->offset = overlap.begin;
        slot->bytes = overlap.begin + arena->extent[overlap.output];
        refuse(bad, "overlaps", overlap.output, &tensors, ARENA_ROWS);
        assert_overlap_is_told(&overlap);
    }
    static const uint64_t rows[] = {ARENA_ROWS + 1,     ARENA_ROWS + 2,    UINT64_C(1) << 31,
                                    UINT64_C(1) << 32,  UINT64_C(1) << 40, UINT64_C(1) << 61,
                                    UINT64_C(1) << 62,  UINT64_C(1) << 63, UINT64_MAX / 24,
                                    UINT64_MAX / 4 + 2, UINT64_MAX - 1,    UINT64_MAX};
    for (size_t i = 0; i < COUNT(rows); i++)
        refuse(bad, "too many rows", AN_TENSOR_COUNT, &good, rows[i]);
    refuse(bad, "no tensors", AN_X, &(anynorm_tensors){.x = {0}}, ARENA_ROWS);
    assert_untouched(bad);
    /* Nothing else was wrong with them. */
    assert_ok(bad->submit(bad->user, &good, ARENA_ROWS));
}
