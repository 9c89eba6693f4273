#include "pairs.h"

#include <stdlib.h>
#include <string.h>

#include "spec_flags.h"

/* ---- Factors and their levels ---- */

enum {
    STATISTIC,
    FLAGS, /* from here on one of flag_factors each */
    LAYOUT = FLAGS + 16,
    COLUMNS,
    X_TYPE, /* from here on those of type_factors */
    WEIGHT_OFFSET = X_TYPE + 8,
    SAMPLE_ROWS,
    SAMPLE_LAYOUT,
    PARAMETER_ROWS,
    PARAMETER_RUN,
    END
};

static const uint32_t statistics[PAIR_LEVELS] = {0,   UNBIASED, MEAN_IN | RSTD_IN,
                                                 RMS, RMS | L2, RMS | RSTD_IN};

static const uint32_t flag_factors[LAYOUT - FLAGS] = {
    EPS_OUTSIDE, EPS_FLOOR, MEAN_OUT,   RSTD_OUT,
    WEIGHT,      BIAS,      RESIDUAL,   GATE,
    PRE_BIAS,    SUM,       STORED_SUM, ROUND_FIRST,
    SCALE,       SHIFT,     SILU,       ANYNORM_ANY_ALIGNMENT};

static const struct {
    size_t field;
    uint32_t flags; /* any of which there must be for it to be a level; 0: none */
} type_factors[WEIGHT_OFFSET - X_TYPE] = {
    {offsetof(anynorm_spec, x.type), 0},
    {offsetof(anynorm_spec, y.type), 0},
    {offsetof(anynorm_spec, parameters.type), AN_PARAMETERS},
    {offsetof(anynorm_spec, residual.type), RESIDUAL},
    {offsetof(anynorm_spec, sum.type), AN_SUMS},
    {offsetof(anynorm_spec, gate.type), GATE},
    {offsetof(anynorm_spec, scale.type), SCALE},
    {offsetof(anynorm_spec, shift.type), SHIFT},
};

enum { DENSE, GAPS, LEVELS, STRIDED, STRIDED_LEVELS, LAYOUTS };

/* Of gate, scale and shift; columns apart are so in all but the first of them. */
enum { DENSE_SAMPLES, SLICES, APART_SAMPLES, SAMPLE_LAYOUTS };

/* Columns of which a schedule makes one program for each line: multiples of RUN, but where they are
 * fewer. */
enum { RUN = 7, LENGTHS = 5 };
static const uint64_t lengths[LENGTHS][PAIR_WAYS] = {
    {98, 105, 126}, {7, 3, 1}, {777, 910, 1022}, {2058, 2093, 2100}, {16387, 20006, 70007}};

static int levels_of(int factor)
{
    return factor == STATISTIC                          ? PAIR_LEVELS
           : factor == LAYOUT                           ? LAYOUTS
           : factor == SAMPLE_LAYOUT                    ? SAMPLE_LAYOUTS
           : factor == COLUMNS                          ? LENGTHS
           : factor >= X_TYPE && factor < WEIGHT_OFFSET ? ANYNORM_F64 + 1
                                                        : 2;
}

static anynorm_dtype *type_field(anynorm_spec *spec, int factor)
{
    return (anynorm_dtype *)(void *)((char *)spec + type_factors[factor - X_TYPE].field);
}

/* ---- A spec of levels ---- */

static void lay_out(anynorm_spec *spec, int layout, int way)
{
    uint64_t *const strides[4][3] = {
        {&spec->x.row_stride, &spec->x.outer_stride, &spec->x.column_stride},
        {&spec->y.row_stride, &spec->y.outer_stride, &spec->y.column_stride},
        {&spec->residual.row_stride, &spec->residual.outer_stride, &spec->residual.column_stride},
        {&spec->sum.row_stride, &spec->sum.outer_stride, &spec->sum.column_stride}};
    const bool named[4] = {true, true, spec->flags & RESIDUAL, spec->flags & SUM};
    if (layout == LEVELS || layout == STRIDED_LEVELS)
        spec->inner_rows = (layout == STRIDED_LEVELS ? 17 : 3) + 2 * (uint64_t)way;
    for (int t = 0; t < 4; t++) {
        uint64_t gap = (uint64_t)((t + way) % 3), inner = spec->inner_rows;
        if (!named[t] || layout == DENSE)
            continue;
        /* One way with y alone side by side. */
        if (layout <= LEVELS || (way == 1 && t == 1)) {
            *strides[t][0] = spec->columns + 1 + gap;
            *strides[t][1] = inner * (spec->columns + 1 + gap) + (inner ? 5 : 0);
        } else if (layout == STRIDED) {
            *strides[t][2] = 40 + gap; /* more than there are rows */
            *strides[t][0] = 1;
        } else {
            *strides[t][2] = inner + gap;
            *strides[t][0] = 1;
            *strides[t][1] = spec->columns * (inner + gap) + gap;
        }
    }
}

anynorm_spec pairs_spec(const struct levels *levels, int way)
{
    static const double epsilons[PAIR_WAYS] = {1e-5, 1e-3, 0};
    const unsigned char *of = levels->of;
    anynorm_spec spec = {.columns = lengths[of[COLUMNS]][way], .flags = statistics[of[STATISTIC]]};
    for (int f = FLAGS; f < LAYOUT; f++)
        spec.flags |= of[f] ? flag_factors[f - FLAGS] : 0;
    for (int f = X_TYPE; f < WEIGHT_OFFSET; f++) {
        uint32_t needs = type_factors[f - X_TYPE].flags;
        if (!needs || (spec.flags & needs))
            *type_field(&spec, f) = (anynorm_dtype)of[f];
    }
    spec.statistic.eps = spec.flags & RSTD_IN ? 0 : epsilons[way];
    if ((spec.flags & WEIGHT) && of[WEIGHT_OFFSET])
        spec.parameters.weight_offset = 1 - 0.25 * way;
    if ((spec.flags & AN_SAMPLES) && of[SAMPLE_ROWS])
        spec.sample_rows = 3 + (uint64_t)way;
    if ((spec.flags & AN_PARAMETERS) && of[PARAMETER_ROWS])
        spec.parameters.rows = 2 + (uint64_t)way;
    if ((spec.flags & AN_PARAMETERS) && of[PARAMETER_RUN])
        spec.parameters.run = spec.columns < RUN ? spec.columns : RUN;
    lay_out(&spec, of[LAYOUT], way);
    if (of[SAMPLE_LAYOUT] != DENSE_SAMPLES)
        set_sample_strides(&spec, (uint64_t)(way + 1) % 3 * 2, of[SAMPLE_LAYOUT] == APART_SAMPLES);
    return spec;
}

/* ---- The levels of a spec ---- */

static int layout_of(const anynorm_spec *spec)
{
    if (spec->x.column_stride > 1)
        return spec->inner_rows ? STRIDED_LEVELS : STRIDED;
    return spec->inner_rows ? LEVELS : spec->x.row_stride ? GAPS : DENSE;
}

static int sample_layout_of(const anynorm_spec *spec)
{
    return spec->gate.column_stride || spec->scale.column_stride || spec->shift.column_stride
               ? APART_SAMPLES
           : spec->gate.row_stride || spec->scale.row_stride || spec->shift.row_stride
               ? SLICES
               : DENSE_SAMPLES;
}

static int count_level(bool named, bool more)
{
    return named ? more : -1;
}

/* -1 where the spec has none, as it names no tensor that it would be about. */
static int level_of(const anynorm_spec *spec, int factor)
{
    if (factor >= FLAGS && factor < LAYOUT)
        return (spec->flags & flag_factors[factor - FLAGS]) != 0;
    if (factor >= X_TYPE && factor < WEIGHT_OFFSET) {
        uint32_t needs = type_factors[factor - X_TYPE].flags;
        anynorm_spec copy = *spec;
        return needs && !(spec->flags & needs) ? -1 : (int)*type_field(&copy, factor);
    }
    switch (factor) {
    case STATISTIC:
        for (int i = 0; i < PAIR_LEVELS; i++) {
            const uint32_t all = RMS | L2 | UNBIASED | MEAN_IN | RSTD_IN;
            if ((spec->flags & all) == statistics[i])
                return i;
        }
        return -1;
    case LAYOUT:
        return layout_of(spec);
    case COLUMNS:
        for (int i = 0; i < LENGTHS; i++) {
            if (lengths[i][0] == spec->columns)
                return i;
        }
        return -1;
    case WEIGHT_OFFSET:
        return count_level(spec->flags & WEIGHT, spec->parameters.weight_offset != 0);
    case SAMPLE_ROWS:
        return count_level(spec->flags & AN_SAMPLES, spec->sample_rows > 1);
    case SAMPLE_LAYOUT:
        return spec->flags & AN_SAMPLES ? sample_layout_of(spec) : -1;
    case PARAMETER_ROWS:
        return count_level(spec->flags & AN_PARAMETERS, spec->parameters.rows > 1);
    default:
        return count_level(spec->flags & AN_PARAMETERS, spec->parameters.run > 1);
    }
}

/* ---- The search ---- */

/* A level of a factor; all of them have numbers. */
struct cell {
    int factor;
    int level;
};

struct search {
    struct pairs *pairs;
    pairs_wanted *wanted;
    void *context;
    size_t cell_count;
    struct cell cells[PAIR_CELLS];
    int first_cell[PAIR_FACTORS];
    bool possible[PAIR_CELLS][PAIR_CELLS];
    bool covered[PAIR_CELLS][PAIR_CELLS];
    struct levels witness[PAIR_CELLS][PAIR_CELLS];
    struct random random;
};

/* The cells of the spec, if it is legal and wanted. */
static size_t cells_of(const struct search *s, const struct levels *levels, size_t *cells)
{
    anynorm_spec spec = pairs_spec(levels, 0);
    size_t count = 0;
    if (anynorm_spec_check(&spec) != ANYNORM_OK || !s->wanted(s->context, &spec))
        return 0;
    for (int f = 0; f < PAIR_FACTORS; f++) {
        int level = level_of(&spec, f);
        if (level >= 0)
            cells[count++] = (size_t)(s->first_cell[f] + level);
    }
    return count;
}

static bool has(const size_t *cells, size_t count, size_t cell)
{
    for (size_t i = 0; i < count; i++) {
        if (cells[i] == cell)
            return true;
    }
    return false;
}

static bool has_both(const struct search *s, const struct levels *levels, size_t a, size_t b)
{
    size_t cells[PAIR_FACTORS], count = cells_of(s, levels, cells);
    return has(cells, count, a) && has(cells, count, b);
}

/* Whether levels with both cells, all others at their first but for `changes`, are a wanted spec:
 * what a level needs is one other, so two changes make all possible that can be. */
static bool find_witness(const struct search *s, size_t a, size_t b, int changes, size_t from,
                         struct levels *levels)
{
    if (has_both(s, levels, a, b))
        return true;
    for (size_t c = from; changes > 0 && c < s->cell_count; c++) {
        int factor = s->cells[c].factor;
        if (s->cells[c].level == 0 || factor == s->cells[a].factor || factor == s->cells[b].factor)
            continue;
        struct levels changed = *levels;
        changed.of[factor] = (unsigned char)s->cells[c].level;
        if (find_witness(s, a, b, changes - 1, c + 1, &changed)) {
            *levels = changed;
            return true;
        }
    }
    return false;
}

/* The fewest changes first. */
static bool is_possible(const struct search *s, size_t a, size_t b, struct levels *levels)
{
    for (int changes = 0; changes <= 2; changes++) {
        *levels = (struct levels){{0}};
        levels->of[s->cells[a].factor] = (unsigned char)s->cells[a].level;
        levels->of[s->cells[b].factor] = (unsigned char)s->cells[b].level;
        if (find_witness(s, a, b, changes, 0, levels))
            return true;
    }
    return false;
}

static void find_possible(struct search *s)
{
    for (size_t a = 0; a < s->cell_count; a++) {
        for (size_t b = 0; b <= a; b++) {
            if (a != b && s->cells[a].factor == s->cells[b].factor)
                continue;
            s->possible[a][b] = is_possible(s, a, b, &s->witness[a][b]);
            s->pairs->possible += s->possible[a][b];
        }
        if (s->possible[a][a] && s->cells[a].level > 0)
            s->pairs->alone[s->pairs->alone_count++] = s->witness[a][a];
    }
}

/* How many pairs are new in a spec, none where it is not wanted, or lacks a or b. */
static int gain(const struct search *s, const struct levels *levels, size_t a, size_t b)
{
    size_t cells[PAIR_FACTORS], count = cells_of(s, levels, cells);
    int gained = 0;
    if (!has(cells, count, a) || !has(cells, count, b))
        return 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k <= i; k++)
            gained += !s->covered[cells[i]][cells[k]];
    }
    return gained;
}

/* Sets the other factors of a spec that has both cells, one after the other from a random one on,
 * to what gains most; types to one of `types`. */
static int climb(struct search *s, struct levels *levels, size_t a, size_t b, int types)
{
    int best = gain(s, levels, a, b);
    uint64_t start = random_bits(&s->random);
    for (uint64_t i = 0; i < 2 * PAIR_FACTORS; i++) {
        int factor = (int)((start + 11 * i) % PAIR_FACTORS);
        bool is_type = factor >= X_TYPE && factor < WEIGHT_OFFSET;
        if (factor == s->cells[a].factor || factor == s->cells[b].factor)
            continue;
        for (int level = 0; level < (is_type ? types : levels_of(factor)); level++) {
            struct levels changed = *levels;
            changed.of[factor] = (unsigned char)level;
            int gained = gain(s, &changed, a, b);
            if (gained > best || (gained == best && random_bits(&s->random) % 2)) {
                best = gained;
                *levels = changed;
            }
        }
    }
    return best;
}

static void cover(struct search *s, const struct levels *levels)
{
    size_t cells[PAIR_FACTORS], count = cells_of(s, levels, cells);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k <= i; k++)
            s->covered[cells[i]][cells[k]] = true;
    }
}

static bool is_wide(const struct search *s, size_t cell)
{
    int factor = s->cells[cell].factor;
    return factor >= X_TYPE && factor < WEIGHT_OFFSET && s->cells[cell].level == ANYNORM_F64;
}

/* Covers all pairs, or those without f64: a spec with one f64 is computed in double altogether. */
static void cover_all(struct search *s, bool wide)
{
    enum { TRIES = 200 };
    while (s->pairs->count < MOST_PAIR_SPECS) {
        struct levels best = {{0}};
        int most = 0, tries = 0;
        size_t at = (size_t)random_bits(&s->random) % PAIR_CELLS;
        for (size_t i = 0; i < s->cell_count * s->cell_count && tries < TRIES; i++) {
            size_t k = (at * s->cell_count + 37 * i) % (s->cell_count * s->cell_count);
            size_t a = k / s->cell_count, b = k % s->cell_count;
            if (b > a || !s->possible[a][b] || s->covered[a][b] ||
                (!wide && (is_wide(s, a) || is_wide(s, b))))
                continue;
            struct levels levels = s->witness[a][b];
            int gained = climb(s, &levels, a, b, wide ? ANYNORM_F64 + 1 : ANYNORM_F64);
            if (gained > most) {
                most = gained;
                best = levels;
            }
            tries++;
        }
        if (tries == 0)
            return;
        cover(s, &best);
        s->pairs->specs[s->pairs->count++] = best;
    }
}

void pairs_find(struct pairs *pairs, pairs_wanted *wanted, void *context)
{
    struct search *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    assert_int_equal(END, PAIR_FACTORS);
    *pairs = (struct pairs){0};
    s->pairs = pairs;
    s->wanted = wanted;
    s->context = context;
    s->random = (struct random){2027};
    for (int f = 0; f < PAIR_FACTORS; f++) {
        s->first_cell[f] = (int)s->cell_count;
        for (int level = 0; level < levels_of(f); level++)
            s->cells[s->cell_count++] = (struct cell){f, level};
    }
    assert_int_equal(s->cell_count, PAIR_CELLS);
    find_possible(s);
    cover_all(s, false);
    cover_all(s, true);
    memset(s->covered, 0, sizeof(s->covered));
    for (size_t i = 0; i < pairs->count; i++)
        cover(s, &pairs->specs[i]);
    for (size_t a = 0; a < s->cell_count; a++) {
        for (size_t b = 0; b <= a; b++)
            pairs->missing += s->possible[a][b] && !s->covered[a][b];
    }
    free(s);
}
