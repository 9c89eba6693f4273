#include "configurations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    anynorm_dtype x, y, parameters;
    bool quick;
} types[] = {
    {ANYNORM_F32, ANYNORM_F32, ANYNORM_F32, true},
    {ANYNORM_F16, ANYNORM_F16, ANYNORM_F16, true},
    {ANYNORM_F16, ANYNORM_F16, ANYNORM_F32, false},
    {ANYNORM_BF16, ANYNORM_BF16, ANYNORM_BF16, true},
    {ANYNORM_BF16, ANYNORM_BF16, ANYNORM_F32, false},
    {ANYNORM_F16, ANYNORM_F32, ANYNORM_F32, false},
    {ANYNORM_F32, ANYNORM_F16, ANYNORM_F32, false},
    {ANYNORM_F64, ANYNORM_F64, ANYNORM_F64, true},
    {ANYNORM_F16, ANYNORM_I8, ANYNORM_F16, true},
    {ANYNORM_BF16, ANYNORM_F8E4M3, ANYNORM_BF16, false},
    {ANYNORM_F32, ANYNORM_F8E4M3, ANYNORM_F32, true},
};

#define AFFINE (ANYNORM_WEIGHT | ANYNORM_BIAS)
#define STATISTICS (ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT)

#define SUMMED (ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT)

#define OF_AFFINE (ANYNORM_DX | ANYNORM_DWEIGHT | ANYNORM_DBIAS)
#define OF_SUMMED (ANYNORM_DX | ANYNORM_DSUM)
#define OF_MODULATED (ANYNORM_DSCALE | ANYNORM_DSHIFT)

/* All but the types and the columns. Those that are `family` are for f32 and f16, of which all
 * their tensors are, in turn where it is quick; a parameters.run above 1 is a whole row. */
static const struct {
    anynorm_spec spec;
    bool quick;
    bool family;
} shapes[] = {
    {.spec = {.flags = 0}},
    {.spec = {.flags = AFFINE}},
    {.spec = {.flags = AFFINE | STATISTICS}, .quick = true},
    {.spec = {.flags = AFFINE | STATISTICS, .inner_rows = 8, .x.outer_stride = UINT64_C(1) << 40}},
    {.spec = {.flags = AFFINE | ANYNORM_ANY_ALIGNMENT}, .quick = true},
    {.spec = {.flags = AFFINE, .inner_rows = 64, .x.column_stride = 64, .y.column_stride = 64},
     .quick = true},
    {.spec = {.flags = ANYNORM_RMS | ANYNORM_WEIGHT}, .quick = true, .family = true},
    {.spec = {.flags = ANYNORM_RMS | ANYNORM_WEIGHT | SUMMED}, .quick = true, .family = true},
    {.spec = {.flags = SUMMED | ANYNORM_GATE, .sample_rows = 8}, .quick = true, .family = true},
    {.spec = {.flags = ANYNORM_SCALE | ANYNORM_SHIFT, .sample_rows = 8},
     .quick = true,
     .family = true},
    {.spec = {.flags = SUMMED | ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT, .sample_rows = 8},
     .family = true},
    {.spec = {.flags = AFFINE | ANYNORM_SILU, .parameters.rows = 8, .parameters.run = 2},
     .quick = true,
     .family = true},
    {.spec = {.flags = AFFINE | ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT},
     .quick = true,
     .family = true},
    /* Of quantized types, which have these alone. */
    {.spec = {.flags = AFFINE | ANYNORM_Y_SCALE_INPUT}},
    {.spec = {.flags = AFFINE | ANYNORM_Y_SCALE_OUTPUT}, .quick = true},
    {.spec = {.flags = AFFINE | ANYNORM_Y_SCALE_OUTPUT,
              .inner_rows = 64,
              .x.column_stride = 64,
              .y.column_stride = 64}},
    /* Gradients: with the statistic found again and saved, then of other layouts and tensors. */
    {.spec = {.flags = AFFINE, .gradients.flags = OF_AFFINE}, .quick = true},
    {.spec = {.flags = AFFINE | STATISTICS, .gradients.flags = OF_AFFINE}},
    {.spec = {.flags = AFFINE | ANYNORM_ANY_ALIGNMENT, .gradients.flags = OF_AFFINE}},
    {.spec = {.flags = AFFINE,
              .inner_rows = 64,
              .x.column_stride = 64,
              .y.column_stride = 64,
              .gradients = {.flags = OF_AFFINE, .dx.column_stride = 64}}},
    {.spec = {.flags = ANYNORM_RMS | ANYNORM_WEIGHT | SUMMED | ANYNORM_RSTD_OUTPUT,
              .gradients.flags = OF_SUMMED | ANYNORM_DWEIGHT | ANYNORM_SAVED_SUM},
     .quick = true,
     .family = true},
    {.spec = {.flags = SUMMED | ANYNORM_GATE,
              .sample_rows = 8,
              .gradients.flags = OF_SUMMED | ANYNORM_DRESIDUAL | ANYNORM_DGATE},
     .quick = true,
     .family = true},
    {.spec = {.flags = ANYNORM_SCALE | ANYNORM_SHIFT,
              .sample_rows = 1024,
              .gradients.flags = ANYNORM_DX | OF_MODULATED},
     .quick = true,
     .family = true},
    {.spec = {.flags = AFFINE | ANYNORM_SILU,
              .parameters.rows = 8,
              .parameters.run = 2,
              .gradients.flags = OF_AFFINE},
     .family = true},
    {.spec = {.flags = AFFINE | ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT,
              .gradients.flags = OF_AFFINE},
     .family = true},
};

#define SCALES (ANYNORM_Y_SCALE_INPUT | ANYNORM_Y_SCALE_OUTPUT)

/* Numbers of columns that ci/compile-kernels has estimates of. */
static const uint64_t estimated[] = {768, 1024, 3072, 4096, 5120, 8192, 16384};

struct configuration {
    char choice[sizeof(((anynorm_plan_info *)0)->choice)];
    char options[CONFIGURATION_OPTIONS];
    const char *program;
    uint64_t group;
    bool first;
    uint64_t from, to; /* columns */
    uint64_t usual;    /* of those */
    bool estimated[COUNT(estimated)];
};

/* The configurations of one target and spec. */
struct list {
    const struct lister *lister;
    anynorm_device *device;
    struct configuration *entries;
    size_t count, room;
};

_Noreturn void die(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    _exit(1); /* not by exit: handlers of a driver that has no device may crash */
}

void forget_settings(void)
{
    setenv("ANYNORM_CACHE", "off", 1);
    setenv("ANYNORM_TUNING", "off", 1);
    unsetenv("ANYNORM_CAPS");
    unsetenv("ANYNORM_SCHEDULE");
}

/* That of the plan just made. */
static struct configuration *find(struct list *list, anynorm_plan *plan,
                                  const anynorm_plan_info *info)
{
    char options[CONFIGURATION_OPTIONS];
    const char *program = list->lister->tell(plan, options);
    if (!program)
        die("a program is none of the embedded sources");
    /* Neighbouring numbers of columns mostly share their configurations, so the last come first. */
    for (size_t i = list->count; i-- > 0;) {
        struct configuration *entry = &list->entries[i];
        if (entry->program == program && strcmp(entry->choice, info->choice) == 0 &&
            strcmp(entry->options, options) == 0)
            return entry;
    }
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        struct configuration *grown = realloc(list->entries, list->room * sizeof(*grown));
        if (!grown)
            die("no memory");
        list->entries = grown;
    }
    struct configuration *entry = &list->entries[list->count++];
    *entry = (struct configuration){
        .program = program, .group = info->work_group_size, .from = UINT64_MAX};
    memcpy(entry->choice, info->choice, sizeof(entry->choice));
    memcpy(entry->options, options, sizeof(entry->options));
    return entry;
}

/* Of two numbers of columns, the more usual: the larger, where whole vectors of many lanes come out
 * even and a row is no longer than there are. */
static uint64_t more_usual(uint64_t old, uint64_t columns)
{
    if (old != 0 && (columns % 64 != 0 || columns > UINT64_C(1) << 20))
        return old;
    return columns;
}

/* Adds the plan that the library makes: of its own choice, or of a schedule. */
static void add_plan(struct list *list, const anynorm_spec *spec, const char *schedule)
{
    anynorm_plan *plan;
    anynorm_plan_info info;
    anynorm_plan_options options = {.schedule = schedule};
    anynorm_status status =
        anynorm_plan_create(list->device, spec, schedule ? &options : NULL, &plan);
    if (status == ANYNORM_UNSUPPORTED)
        return; /* of this type, say: the device has no double precision */
    if (status != ANYNORM_OK || anynorm_plan_describe(plan, &info) != ANYNORM_OK)
        die(anynorm_message());
    struct configuration *entry = find(list, plan, &info);
    entry->first |= !schedule;
    entry->from = spec->columns < entry->from ? spec->columns : entry->from;
    entry->to = spec->columns > entry->to ? spec->columns : entry->to;
    entry->usual = more_usual(entry->usual, spec->columns);
    for (size_t i = 0; i < COUNT(estimated); i++)
        entry->estimated[i] |= !schedule && spec->columns == estimated[i];
    anynorm_plan_destroy(plan);
}

static void add(struct list *list, anynorm_spec spec, uint64_t columns, bool others)
{
    anynorm_candidate candidate;
    size_t count = others ? 1 : 0;
    spec.columns = columns;
    if (spec.parameters.run > 1 && columns == 1)
        return;
    if (spec.parameters.run > 1)
        spec.parameters.run = columns;
    add_plan(list, &spec, NULL);
    for (size_t i = 0; i < count; i++) {
        if (anynorm_plan_candidate(list->device, &spec, i, &candidate, &count) != ANYNORM_OK)
            die(anynorm_message());
        if (candidate.fits)
            add_plan(list, &spec, candidate.schedule);
    }
}

/* Columns between which choices change: all small ones, multiples of 64 and later of 1024 with
 * their neighbours, and powers of two with theirs to the largest there is. */
static void walk_columns(struct list *list, const anynorm_spec *spec, bool others)
{
    for (uint64_t columns = 1; columns < 512; columns++)
        add(list, *spec, columns, others);
    for (uint64_t columns = 512; columns < 131072; columns += columns < 16384 ? 64 : 1024) {
        add(list, *spec, columns - 1, others);
        add(list, *spec, columns, others);
        add(list, *spec, columns + 1, others);
    }
    for (uint64_t columns = 131072; columns < UINT64_C(1) << 31; columns *= 2) {
        add(list, *spec, columns - 1, others);
        add(list, *spec, columns, others);
        add(list, *spec, columns + 1, others);
        add(list, *spec, columns + columns / 2, others);
    }
    add(list, *spec, (UINT64_C(1) << 31) - 1, others);
}

static void print(const anynorm_spec *spec, const struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct configuration *entry = &list->entries[i];
        anynorm_spec example = *spec;
        char text[256];
        example.columns = entry->usual;
        if (spec->parameters.run > 1)
            example.parameters.run = entry->usual;
        anynorm_spec_format(&example, 1, text, sizeof(text));
        printf("%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t", list->lister->target,
               entry->first ? "first" : "other", entry->choice, entry->group, entry->from,
               entry->to);
        const char *comma = "";
        for (size_t k = 0; k < COUNT(estimated); k++) {
            if (entry->estimated[k]) {
                printf("%s%" PRIu64, comma, estimated[k]);
                comma = ",";
            }
        }
        printf("\t%s\t%s\t%s\n", text, entry->program, entry->options);
    }
}

static void list_spec(struct list *list, const anynorm_spec *spec, bool others)
{
    list->device = list->lister->open();
    list->count = 0;
    walk_columns(list, spec, others);
    print(spec, list);
    list->lister->close(list->device);
}

/* The first two types, of which one is `turn`'s. */
static bool is_for_family(size_t type, size_t turn)
{
    return type < 2 && type == turn % 2;
}

/* As the forward pass has them. */
static void set_gradient_types(anynorm_spec *spec)
{
    anynorm_gradients *g = &spec->gradients;
    g->dx.type = spec->x.type;
    if (g->flags & ANYNORM_DRESIDUAL)
        g->dresidual.type = spec->residual.type;
    if (g->flags & (ANYNORM_DWEIGHT | ANYNORM_DBIAS | ANYNORM_DPRE_BIAS))
        g->parameters = spec->parameters.type;
    if (g->flags & (ANYNORM_DGATE | OF_MODULATED))
        g->samples = spec->x.type;
}

void list_configurations(const struct lister *lister, bool quick)
{
    struct list list = {.lister = lister};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t s = 0; s < COUNT(shapes); s++) {
            bool scales = shapes[s].spec.flags & SCALES;
            if (scales != (anynorm_dtype_size(types[t].y) == 1) ||
                (quick && !(types[t].quick && shapes[s].quick)) ||
                (shapes[s].family && !is_for_family(t, quick ? s : t)))
                continue;
            anynorm_spec spec = shapes[s].spec;
            if (spec.flags & ANYNORM_RESIDUAL)
                spec.residual.type = spec.sum.type = types[t].x;
            if (spec.flags & ANYNORM_GATE)
                spec.gate.type = types[t].x;
            if (spec.flags & ANYNORM_SCALE)
                spec.scale.type = types[t].x;
            if (spec.flags & ANYNORM_SHIFT)
                spec.shift.type = types[t].x;
            spec.x.type = types[t].x;
            spec.y.type = types[t].y;
            spec.parameters.type = types[t].parameters;
            if (spec.gradients.flags)
                set_gradient_types(&spec);
            spec.statistic.eps = spec.flags & ANYNORM_RSTD_INPUT ? 0 : ANYNORM_EPS_DEFAULT;
            list_spec(&list, &spec, !quick);
        }
    }
    free(list.entries);
}
