/* Plans: the selection, then the backend's compiler; and the enqueue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "spec.h"
#include "status.h"

/* The schedule that the caller or the environment insists on, if *forced. The environment does not
 * bind the reference, which has one of its own and serves as the oracle beside a forced device. */
static anynorm_status find_forced(const anynorm_device *device, const anynorm_plan_options *options,
                                  bool *forced, enum an_schedule *schedule)
{
    const char *name = options ? options->schedule : NULL;
    bool from_environment = !name;
    if (from_environment)
        name = getenv("ANYNORM_SCHEDULE");
    *forced = false;
    if (!name || (from_environment && !*name))
        return ANYNORM_OK;
    if (!an_schedule_find(name, schedule))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%sschedule \"%.60s\" does not exist; there are row_per_item, "
                       "row_per_group, row_reread",
                       from_environment ? "ANYNORM_SCHEDULE: " : "", name);
    *forced = !from_environment || device->info.device_class != ANYNORM_CLASS_REFERENCE;
    return ANYNORM_OK;
}

/* Tries one schedule; again with a smaller group where the compiled kernel demands it. Fails with
 * UNSUPPORTED and the reason in the message where it does not fit. */
static anynorm_status try_schedule(anynorm_device *device, const anynorm_spec *spec,
                                   enum an_schedule schedule, uint32_t group_size,
                                   anynorm_plan **plan)
{
    anynorm_device_info info = device->info;
    const char *name = an_schedule_name(schedule);
    for (;;) {
        struct an_choice choice;
        char reason[sizeof(((anynorm_candidate *)0)->reason)] = "";
        if (!an_select_fits(&info, spec, schedule, group_size, &choice, reason, sizeof(reason))) {
            an_log(ANYNORM_LOG_DEBUG, "%s: not taken: %s", name, reason);
            return an_fail(ANYNORM_UNSUPPORTED, "%s does not fit: %s", name, reason);
        }
        uint32_t group_limit = 0;
        anynorm_status status =
            device->backend->plan_create(device, spec, &choice, plan, &group_limit);
        if (status == ANYNORM_UNSUPPORTED && group_limit > 0 && group_limit < choice.group_size &&
            group_limit < info.max_work_group_size) {
            an_log(ANYNORM_LOG_DEBUG, "%s: the kernel takes %u work-items, not %u", name,
                   group_limit, choice.group_size);
            info.max_work_group_size = group_limit;
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

anynorm_status anynorm_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                   const anynorm_plan_options *options, anynorm_plan **plan)
{
    if (!device || !plan)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or plan is NULL");
    anynorm_spec resolved;
    anynorm_status status = an_spec_resolve(spec, &resolved);
    if (status != ANYNORM_OK)
        return status;

    char text[256];
    anynorm_spec_format(&resolved, 0, text, sizeof(text));
    an_log(ANYNORM_LOG_DEBUG, "%s: choosing a schedule for %s", device->info.id, text);

    bool forced;
    enum an_schedule schedule = AN_REFERENCE;
    status = find_forced(device, options, &forced, &schedule);
    if (status != ANYNORM_OK)
        return status;
    if (an_spec_double(&resolved) && !device->info.fp64)
        return an_fail(ANYNORM_UNSUPPORTED, "%s has no double precision, which f64 needs",
                       device->info.id);

    uint32_t group_size = options ? options->work_group_size : 0;
    anynorm_plan *made = NULL;
    if (forced) {
        status = try_schedule(device, &resolved, schedule, group_size, &made);
    } else {
        status = ANYNORM_UNSUPPORTED;
        for (size_t i = 0;
             status == ANYNORM_UNSUPPORTED && an_select_order(&device->info, i, &schedule); i++)
            status = try_schedule(device, &resolved, schedule, group_size, &made);
    }
    if (status != ANYNORM_OK)
        return status;

    atomic_fetch_add(&device->references, 1);
    an_log(ANYNORM_LOG_INFO, "%s: %s in groups of %u for %s", device->info.id,
           an_schedule_name(made->choice.schedule), made->choice.group_size, text);
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

anynorm_status anynorm_plan_describe(const anynorm_plan *plan, anynorm_plan_info *info)
{
    if (!plan || !info)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or info is NULL");
    anynorm_plan_info result = {.schedule = an_schedule_name(plan->choice.schedule),
                                .work_group_size = plan->choice.group_size};
    snprintf(result.options, sizeof(result.options), "%s", plan->options);
    *info = result;
    return ANYNORM_OK;
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
    enum an_schedule schedule, wanted = AN_REFERENCE;
    size_t total = 0;
    for (; an_select_order(&device->info, total, &schedule); total++) {
        if (total == index)
            wanted = schedule;
    }
    if (index >= total)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "candidate %zu is not below the %zu there are",
                       index, total);
    struct an_choice choice;
    candidate->schedule = an_schedule_name(wanted);
    candidate->fits = an_select_fits(&device->info, &resolved, wanted, 0, &choice,
                                     candidate->reason, sizeof(candidate->reason));
    if (count)
        *count = total;
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
    return plan->device->backend->enqueue(plan, tensors, rows, wait_count, wait_list, event);
}

anynorm_status anynorm_event_wait(const anynorm_event *event)
{
    if (!event || !event->valid)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "event is NULL or empty");
    return event->device->backend->event_wait(event);
}

anynorm_status anynorm_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds)
{
    if (!event || !event->valid || !nanoseconds)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "event is NULL or empty, or nanoseconds is NULL");
    return event->device->backend->event_elapsed(event, nanoseconds);
}

void anynorm_event_release(anynorm_event *event)
{
    if (!event || !event->valid)
        return;
    event->device->backend->event_release(event);
    *event = (anynorm_event){0};
}
