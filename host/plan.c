/* Plans: the selection, then the backend's compiler; and the enqueue. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "store/binary.h"
#include "base/log.h"
#include "spec/gradient.h"
#include "spec/spec.h"
#include "base/status.h"
#include "choice/tuning.h"

static anynorm_status no_binaries(const anynorm_device *device)
{
    return an_fail(ANYNORM_UNSUPPORTED, "%s compiles nothing, so it has no binaries",
                   device->info.id);
}

/* The schedule and numbers that the caller or the environment insists on, if *forced. The
 * environment does not bind the reference, which has one of its own and serves as the oracle beside
 * a forced device. */
static anynorm_status find_forced(const anynorm_device *device, const anynorm_spec *spec,
                                  const anynorm_plan_options *options, bool *forced,
                                  struct an_choice *wish)
{
    const char *text = options ? options->schedule : NULL;
    bool from_environment = !text;
    *forced = false;
    if (from_environment)
        text = getenv("ANYNORM_SCHEDULE");
    if (!text || (from_environment && !*text))
        return ANYNORM_OK;
    anynorm_status status = an_choice_parse(text, wish);
    if (status == ANYNORM_OK && from_environment && an_schedule_is_baseline(wish->schedule))
        status = an_fail(ANYNORM_INVALID_ARGUMENT,
                         "%s does not normalize; only a caller's options can ask for it",
                         an_schedule_name(wish->schedule));
    if (status != ANYNORM_OK && from_environment) {
        char message[256];
        snprintf(message, sizeof(message), "%s", anynorm_message());
        return an_fail(status, "ANYNORM_SCHEDULE: %s", message);
    }
    bool binds = device->info.device_class != ANYNORM_CLASS_REFERENCE &&
                 (!an_spec_backward(spec) || an_schedule_goes_back(wish->schedule));
    *forced = !from_environment || binds;
    return status;
}

/* The binary that the caller hands in, or NULL. It brings its own choice, unless one is forced. */
static anynorm_status find_binary(const anynorm_device *device, const anynorm_plan_options *options,
                                  const void **binary, bool *forced, struct an_choice *wish)
{
    *binary = NULL;
    if (!options || (!options->binary && !options->binary_bytes))
        return ANYNORM_OK;
    if (!device->backend->plan_binary)
        return no_binaries(device);
    if (!options->binary || !an_binary_intact(options->binary, options->binary_bytes))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "binary is not what anynorm_plan_binary gave: it is damaged or incomplete");
    *binary = options->binary;
    if (*forced)
        return ANYNORM_OK;
    *forced = true;
    return an_choice_parse(an_binary_label(*binary), wish);
}

/* Whether a kernel that was refused without a word of its group's size is worth a try without
 * sub-groups: compilers and drivers fail at them more than at anything else. */
static bool gives_up_subgroups(anynorm_status status, const struct an_choice *wish,
                               const struct an_choice *choice)
{
    return (status == ANYNORM_UNSUPPORTED || status == ANYNORM_BUILD_FAILED) &&
           choice->subgroup > 0 && wish->subgroup == 0;
}

/* Tries one schedule; again with a smaller group where the compiled kernel demands it, and without
 * sub-groups where they fail. Fails with UNSUPPORTED and the reason in the message where it does
 * not fit. */
static anynorm_status try_schedule(anynorm_device *device, const anynorm_spec *spec,
                                   const struct an_choice *wish, const void *binary,
                                   anynorm_plan **plan)
{
    anynorm_device_info info = device->info;
    const char *name = an_schedule_name(wish->schedule);
    for (;;) {
        struct an_choice choice;
        char reason[AN_REASON_BYTES] = "";
        if (!an_select_fits(&info, spec, wish, &choice, reason)) {
            an_log(ANYNORM_LOG_DEBUG, "%s: not taken: %s", name, reason);
            return an_fail(ANYNORM_UNSUPPORTED, "%s does not fit: %s", name, reason);
        }
        uint64_t group_limit = 0;
        anynorm_status status =
            device->backend->plan_create(device, spec, &choice, binary, plan, &group_limit);
        if (status == ANYNORM_UNSUPPORTED && group_limit > 0 && group_limit < choice.group &&
            group_limit < info.max_work_group_size) {
            an_log(ANYNORM_LOG_DEBUG, "%s: the kernel takes %" PRIu64 " work-items, not %" PRIu64,
                   name, group_limit, choice.group);
            info.max_work_group_size = group_limit;
            continue;
        }
        if (group_limit == 0 && gives_up_subgroups(status, wish, &choice)) {
            bool again = atomic_exchange(&device->warned, true);
            an_log(again ? ANYNORM_LOG_DEBUG : ANYNORM_LOG_WARN, "%s: %s without sub-groups: %s",
                   info.id, name, anynorm_message());
            info.subgroup = false;
            info.subgroup_size = 0;
            info.shuffle = ANYNORM_SHUFFLE_NONE;
            continue;
        }
        if (status != ANYNORM_OK) {
            an_log(ANYNORM_LOG_DEBUG, "%s: not taken: %s", name, anynorm_message());
            return status;
        }
        (*plan)->device = device;
        (*plan)->spec = *spec;
        (*plan)->choice = choice;
        an_log(ANYNORM_LOG_DEBUG, "%s: taken: %s", name, reason);
        return ANYNORM_OK;
    }
}

/* What the tuning databases have for it; UNSUPPORTED where they have nothing, or what they have
 * does not serve here: a database must not fail what goes well without it. */
static anynorm_status try_tuned(anynorm_device *device, const anynorm_spec *spec, uint64_t rows,
                                anynorm_plan **plan)
{
    struct an_choice wish;
    char source[300], text[sizeof(((anynorm_plan_info *)0)->choice)];
    if (!an_tuning_ask(&device->info, spec, rows, true, &wish, source, sizeof(source)))
        return ANYNORM_UNSUPPORTED;
    an_choice_format(&wish, text, sizeof(text));
    an_log(ANYNORM_LOG_DEBUG, "%s: %s has %s", device->info.id, source, text);
    anynorm_status status = try_schedule(device, spec, &wish, NULL, plan);
    if (status == ANYNORM_BUILD_FAILED) {
        an_log(ANYNORM_LOG_WARN, "%s: %s has %s, which does not compile here; passed over",
               device->info.id, source, text);
        return ANYNORM_UNSUPPORTED;
    }
    return status;
}

/* What the databases say, else the first schedule that serves, with the closed form's numbers.
 * Where none does, the message is of the one whose limit is the reason, not of the last. */
static anynorm_status choose(anynorm_device *device, const anynorm_spec *spec, uint64_t rows,
                             anynorm_plan **plan)
{
    anynorm_status status = try_tuned(device, spec, rows, plan);
    struct an_choice open = {.schedule = AN_REFERENCE};
    char reason[400] = "";
    for (size_t i = 0;
         status == ANYNORM_UNSUPPORTED && an_select_order(&device->info, spec, i, &open.schedule);
         i++) {
        status = try_schedule(device, spec, &open, NULL, plan);
        if (status == ANYNORM_UNSUPPORTED && open.schedule == an_select_widest(&device->info, spec))
            snprintf(reason, sizeof(reason), "%s", anynorm_message());
    }
    return status == ANYNORM_UNSUPPORTED ? an_fail(status, "%s", reason) : status;
}

/* What the device cannot serve by any schedule. */
static anynorm_status check_spec(const anynorm_device *device, const anynorm_spec *spec)
{
    if (an_spec_double(spec) && !device->info.fp64)
        return an_fail(ANYNORM_UNSUPPORTED, "%s has no double precision, which f64 needs",
                       device->info.id);
    return device->backend->spec_check ? device->backend->spec_check(device, spec) : ANYNORM_OK;
}

anynorm_status anynorm_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                   const anynorm_plan_options *options, anynorm_plan **plan)
{
    if (!device || !plan)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or plan is NULL");
    anynorm_spec resolved;
    anynorm_status status = an_spec_resolve(spec, &resolved);
    if (status != ANYNORM_OK)
        return status;

    char text[512];
    anynorm_spec_format(&resolved, 0, text, sizeof(text));
    an_log(ANYNORM_LOG_DEBUG, "%s: choosing a schedule for %s", device->info.id, text);

    bool forced;
    struct an_choice wish;
    const void *binary;
    status = find_forced(device, &resolved, options, &forced, &wish);
    if (status == ANYNORM_OK)
        status = find_binary(device, options, &binary, &forced, &wish);
    if (status != ANYNORM_OK)
        return status;
    status = check_spec(device, &resolved);
    if (status != ANYNORM_OK)
        return status;

    anynorm_plan *made = NULL;
    if (forced)
        status = try_schedule(device, &resolved, &wish, binary, &made);
    else
        status = choose(device, &resolved, options ? options->expected_rows : 0, &made);
    if (status != ANYNORM_OK)
        return status;

    atomic_fetch_add(&device->references, 1);
    char chosen[sizeof(((anynorm_plan_info *)0)->choice)];
    an_choice_format(&made->choice, chosen, sizeof(chosen));
    an_log(ANYNORM_LOG_INFO, "%s: %s for %s", device->info.id, chosen, text);
    *plan = made;
    return ANYNORM_OK;
}

void anynorm_plan_destroy(anynorm_plan *plan)
{
    if (!plan)
        return;
    anynorm_device *device = plan->device;
    device->backend->plan_destroy(plan);
    anynorm_device_close(device);
}

anynorm_status anynorm_plan_workspace(const anynorm_plan *plan, uint64_t rows, uint64_t *bytes)
{
    if (!plan || !bytes)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or bytes is NULL");
    uint64_t needed = 0;
    if (rows > 0 && !an_gradient_workspace(&plan->spec, rows, &needed))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "the sums over %" PRIu64 " rows need more than 2^64 bytes", rows);
    *bytes = needed;
    return ANYNORM_OK;
}

anynorm_status anynorm_plan_cut(const anynorm_plan *plan, uint64_t of_rows, uint64_t *row)
{
    if (!plan || !row)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or row is NULL");
    *row = *row < of_rows ? an_gradient_cut(&plan->spec, of_rows, *row) : of_rows;
    return ANYNORM_OK;
}

anynorm_status anynorm_plan_divide(const anynorm_plan *plan, uint64_t of_rows, uint64_t *row)
{
    if (!plan || !row)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or row is NULL");
    bool reference = plan->choice.schedule == AN_REFERENCE;
    *row = *row < of_rows ? an_gradient_division(&plan->spec, reference, of_rows, *row) : of_rows;
    return ANYNORM_OK;
}

anynorm_status anynorm_plan_sums(const anynorm_plan *plan, uint64_t first, uint64_t rows,
                                 uint64_t of_rows, size_t index, anynorm_range *range,
                                 size_t *count)
{
    if (!plan || !range)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or range is NULL");
    const struct an_stretch stretch = {first, rows, of_rows};
    anynorm_status status = an_stretch_check(&stretch);
    if (status != ANYNORM_OK)
        return status;
    const uint64_t ends[] = {first, first + rows};
    for (int i = 0; i < 2; i++) {
        uint64_t row = ends[i];
        (void)anynorm_plan_divide(plan, of_rows, &row);
        if (row != ends[i])
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "rows may not be divided at row %" PRIu64 " of %" PRIu64
                           "; anynorm_plan_divide finds where",
                           ends[i], of_rows);
    }
    struct an_left left = {.count = 0};
    if (of_rows > 0)
        left =
            an_gradient_left(&plan->spec, plan->choice.schedule == AN_REFERENCE, &stretch, index);
    *range = index < left.count ? (anynorm_range){left.offset, left.bytes} : (anynorm_range){0};
    if (count)
        *count = (size_t)left.count;
    return ANYNORM_OK;
}

anynorm_status anynorm_plan_describe(const anynorm_plan *plan, anynorm_plan_info *info)
{
    if (!plan || !info)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or info is NULL");
    anynorm_plan_info result = {.schedule = an_schedule_name(plan->choice.schedule),
                                .work_group_size = plan->choice.group};
    an_choice_format(&plan->choice, result.choice, sizeof(result.choice));
    snprintf(result.options, sizeof(result.options), "%s", plan->options);
    *info = result;
    return ANYNORM_OK;
}

anynorm_status anynorm_plan_binary(anynorm_plan *plan, void *bytes, size_t capacity, size_t *size)
{
    if (!plan || !size || (capacity > 0 && !bytes))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan, size or bytes is NULL");
    if (!plan->device->backend->plan_binary)
        return no_binaries(plan->device);
    void *packed;
    size_t needed;
    anynorm_status status = plan->device->backend->plan_binary(plan, &packed, &needed);
    if (status != ANYNORM_OK)
        return status;
    if (needed <= capacity)
        memcpy(bytes, packed, needed);
    else if (capacity > 0)
        status = an_fail(ANYNORM_INVALID_ARGUMENT, "the binary needs %zu bytes, not %zu", needed,
                         capacity);
    *size = needed;
    free(packed);
    return status;
}

anynorm_status anynorm_plan_warm_up(anynorm_plan *plan, uint64_t rows)
{
    if (!plan || rows == 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan is NULL or rows is 0");
    if (!plan->device->backend->plan_warm_up)
        return ANYNORM_OK;
    return plan->device->backend->plan_warm_up(plan, rows);
}

anynorm_status anynorm_plan_candidate(const anynorm_device *device, const anynorm_spec *spec,
                                      size_t index, anynorm_candidate *candidate, size_t *count)
{
    if (!device || !candidate)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or candidate is NULL");
    anynorm_spec resolved;
    anynorm_status status = an_spec_resolve(spec, &resolved);
    if (status != ANYNORM_OK)
        return status;
    enum an_schedule schedule;
    struct an_choice wish = {.schedule = AN_REFERENCE};
    size_t total = 0;
    for (; an_select_order(&device->info, &resolved, total, &schedule); total++) {
        if (total == index)
            wish.schedule = schedule;
    }
    if (index >= total)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "candidate %zu is not below the %zu there are",
                       index, total);
    struct an_choice choice;
    candidate->schedule = an_schedule_name(wish.schedule);
    candidate->fits = an_select_fits(&device->info, &resolved, &wish, &choice, candidate->reason);
    if (candidate->fits && check_spec(device, &resolved) != ANYNORM_OK) {
        candidate->fits = false;
        snprintf(candidate->reason, sizeof(candidate->reason), "%s", anynorm_message());
    }
    if (count)
        *count = total;
    return ANYNORM_OK;
}

/* Fails with what keeps every schedule from serving the spec. */
static anynorm_status no_schedule(const anynorm_device *device, const anynorm_spec *spec)
{
    const struct an_choice widest = {.schedule = an_select_widest(&device->info, spec)};
    struct an_choice choice;
    char reason[AN_REASON_BYTES] = "";
    (void)an_select_fits(&device->info, spec, &widest, &choice, reason);
    return an_fail(ANYNORM_UNSUPPORTED, "no schedule serves this spec on %s: %s", device->info.id,
                   reason);
}

anynorm_status anynorm_plan_variant(const anynorm_device *device, const anynorm_spec *spec,
                                    size_t index, anynorm_variant *variant, size_t *count)
{
    if (!device || !variant)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or variant is NULL");
    anynorm_spec resolved;
    anynorm_status status = an_spec_resolve(spec, &resolved);
    if (status != ANYNORM_OK)
        return status;
    status = check_spec(device, &resolved);
    if (status != ANYNORM_OK)
        return status;
    struct an_choice tuned;
    struct an_variants variants;
    char source[64];
    bool known = an_tuning_ask(&device->info, &resolved, 0, false, &tuned, source, sizeof(source));
    an_variants_list(&device->info, &resolved, known ? &tuned : NULL, &variants);
    if (variants.count == 0)
        return no_schedule(device, &resolved);
    if (index >= variants.count)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "variant %zu is not below the %zu there are",
                       index, variants.count);
    an_choice_format(&variants.choices[index], variant->choice, sizeof(variant->choice));
    if (count)
        *count = variants.count;
    return ANYNORM_OK;
}

anynorm_status anynorm_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows,
                               uint32_t wait_count, const anynorm_event *wait_list,
                               anynorm_event *event)
{
    if (!plan || !tensors || !event)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan, tensors or event is NULL");
    if (wait_count > ANYNORM_MAX_WAIT || (wait_count > 0 && !wait_list))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "a wait list holds 0 to %d events and is not NULL where it holds any",
                       ANYNORM_MAX_WAIT);
    for (uint32_t i = 0; i < wait_count; i++) {
        if (!wait_list[i].valid || wait_list[i].device != plan->device)
            return an_fail(ANYNORM_INVALID_ARGUMENT, "wait_list[%u] is empty or of another device",
                           i);
    }
    if (rows > 0) {
        anynorm_status status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
        if (status != ANYNORM_OK)
            return status;
    }
    const struct an_stretch stretch = an_stretch_whole(rows);
    anynorm_event begun = {.valid = false};
    anynorm_status status =
        plan->device->backend->enqueue(plan, tensors, &stretch, wait_count, wait_list, &begun);
    if (status == ANYNORM_OK)
        *event = begun;
    else
        anynorm_event_release(&begun);
    return status;
}

static bool is_empty(const anynorm_event *event)
{
    return !event || !event->valid || !event->device;
}

anynorm_status anynorm_event_wait(const anynorm_event *event)
{
    if (is_empty(event))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "event is NULL or empty");
    return event->device->backend->event_wait(event);
}

anynorm_status anynorm_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds)
{
    if (is_empty(event) || !nanoseconds)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "event is NULL or empty, or nanoseconds is NULL");
    return event->device->backend->event_elapsed(event, nanoseconds);
}

void anynorm_event_release(anynorm_event *event)
{
    if (is_empty(event))
        return;
    event->device->backend->event_release(event);
    *event = (anynorm_event){0};
}
