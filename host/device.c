/* Devices by name. The only file that names the backends. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "choice/caps.h"
#include "base/status.h"
#include "base/text.h"

/* In the order in which equally good devices are preferred. */
static const struct an_backend *const backends[] = {
#ifdef AN_HAVE_OPENCL
    &an_opencl_backend,
#endif
#ifdef AN_HAVE_VULKAN
    &an_vulkan_backend,
#endif
    &an_reference_backend,
};

/* Backends of the design that a build may lack, to tell "unsupported" from "no such thing". */
static const char *const known_backends[] = {"opencl", "vulkan", "reference"};

size_t anynorm_device_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT(backends); i++)
        count += backends[i]->count();
    return count;
}

anynorm_status anynorm_device_list(size_t index, anynorm_device_info *info)
{
    if (!info)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "info is NULL");
    size_t within = index;
    for (size_t i = 0; i < COUNT(backends); i++) {
        size_t count = backends[i]->count();
        if (within < count) {
            anynorm_device_info found;
            anynorm_status status = backends[i]->list(within, &found);
            if (status == ANYNORM_OK)
                *info = found;
            return status;
        }
        within -= count;
    }
    return an_fail(ANYNORM_INVALID_ARGUMENT, "device index %zu is not below the %zu devices", index,
                   index - within);
}

/* PoCL's name is in neither its platform's name nor its devices', but in their version, after
 * "OpenCL 3.0 "; everybody calls it by it. */
static bool matches(const anynorm_device_info *info, const char *part)
{
    const char *version = info->version + strcspn(info->version, " ");
    version += strspn(version, " ");
    version += strcspn(version, " ");
    return an_text_contains(info->name, part) || an_text_contains(info->platform, part) ||
           an_text_contains(version, part);
}

static anynorm_status no_such_device(const char *name)
{
    char list[512] = "";
    struct an_text text = {list, sizeof(list), 0};
    anynorm_device_info info;
    for (size_t i = 0; i < anynorm_device_count(); i++) {
        if (anynorm_device_list(i, &info) == ANYNORM_OK)
            an_text_put(&text, "%s%s", text.length ? ", " : "", info.id);
    }
    return an_fail(ANYNORM_INVALID_ARGUMENT, "device \"%.100s\" is not there; there are: %s", name,
                   list);
}

/* ---- The best ---- */

struct candidate {
    const struct an_backend *backend;
    size_t index;
    size_t position; /* as listed */
    uint64_t preference;
    anynorm_device_info info;
};

/* The best first; those that are as good in the order in which they are listed. */
static int compare(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->preference != right->preference)
        return left->preference > right->preference ? -1 : 1;
    return left->position < right->position ? -1 : 1;
}

/* Of the backend, or of all where it is NULL; *count is how many. Fails where one cannot be
 * described, which is no fault of the device's. */
static anynorm_status list_candidates(const struct an_backend *backend, struct candidate *list,
                                      size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < COUNT(backends); i++) {
        size_t devices = !backend || backend == backends[i] ? backends[i]->count() : 0;
        for (size_t k = 0; k < devices; k++) {
            struct candidate *made = &list[*count];
            *made = (struct candidate){.backend = backends[i], .index = k, .position = *count};
            anynorm_status status = backends[i]->list(k, &made->info);
            if (status != ANYNORM_OK)
                return status;
            made->preference = an_preference(&made->info);
            ++*count;
        }
    }
    return ANYNORM_OK;
}

/* The first of the list, the best first, that can be opened; else fails with the best one's reason.
 */
static anynorm_status open_first(const struct candidate *list, size_t count,
                                 anynorm_device **device)
{
    anynorm_status first = ANYNORM_UNSUPPORTED;
    char reason[400] = "there is no device";
    for (size_t i = 0; i < count; i++) {
        anynorm_status status = list[i].backend->open(list[i].index, device);
        if (status == ANYNORM_OK || status == ANYNORM_INVALID_ARGUMENT) /* of the environment */
            return status;
        if (i == 0) {
            first = status;
            snprintf(reason, sizeof(reason), "%s", anynorm_message());
        }
        const anynorm_device_info *info = &list[i].info;
        an_log(ANYNORM_LOG_WARN, "%s (%s) is passed over: %s", info->id, info->name,
               *info->unusable ? info->unusable : anynorm_message());
    }
    return an_fail(first, "%s", reason);
}

/* Of the backend, or of all where it is NULL. */
static anynorm_status open_best(const struct an_backend *backend, anynorm_device **device)
{
    size_t count = backend ? backend->count() : anynorm_device_count();
    struct candidate *list = calloc(count + 1, sizeof(*list));
    if (!list)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of devices");
    anynorm_status status = list_candidates(backend, list, &count);
    if (status == ANYNORM_OK) {
        qsort(list, count, sizeof(*list), compare);
        status = open_first(list, count, device);
    }
    free(list);
    if (status == ANYNORM_OK && !backend && (*device)->backend == &an_reference_backend)
        an_log(ANYNORM_LOG_WARN, "no OpenCL or Vulkan device was found that serves: using the slow "
                                 "reference backend");
    return status;
}

/* ---- By name ---- */

/* The device of `backend` that `selector` means: digits an index, else part of a name; *index is
 * SIZE_MAX where there is none. Fails where a device cannot be described. */
static anynorm_status find_device(const struct an_backend *backend, const char *selector,
                                  size_t *index)
{
    size_t count = backend->count();
    *index = SIZE_MAX;
    if (strspn(selector, "0123456789") == strlen(selector)) {
        unsigned long long number = strtoull(selector, NULL, 10);
        if (number < count)
            *index = (size_t)number;
        return ANYNORM_OK;
    }
    for (size_t i = 0; i < count && *index == SIZE_MAX; i++) {
        anynorm_device_info info;
        anynorm_status status = backend->list(i, &info);
        if (status != ANYNORM_OK)
            return status;
        if (matches(&info, selector))
            *index = i;
    }
    return ANYNORM_OK;
}

static anynorm_status open_by_name(const char *name, anynorm_device **device)
{
    size_t length = strcspn(name, ":");
    const char *selector = name[length] ? name + length + 1 : "";
    for (size_t i = 0; i < COUNT(backends); i++) {
        size_t index;
        if (!an_text_is(name, length, backends[i]->name))
            continue;
        if (!*selector && backends[i]->count() > 0)
            return open_best(backends[i], device);
        anynorm_status status = find_device(backends[i], selector, &index);
        if (status != ANYNORM_OK)
            return status;
        return index == SIZE_MAX ? no_such_device(name) : backends[i]->open(index, device);
    }
    for (size_t i = 0; i < COUNT(known_backends); i++) {
        if (an_text_is(name, length, known_backends[i]))
            return an_fail(ANYNORM_UNSUPPORTED, "device \"%.100s\": this build has no %s backend",
                           name, known_backends[i]);
    }
    return no_such_device(name);
}

anynorm_status anynorm_device_open(const char *name, anynorm_device **device)
{
    if (!device)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device is NULL");
    if (!name || !*name)
        name = getenv("ANYNORM_DEVICE");
    anynorm_device *opened;
    anynorm_status status = name && *name ? open_by_name(name, &opened) : open_best(NULL, &opened);
    if (status != ANYNORM_OK)
        return status;
    an_log(ANYNORM_LOG_INFO, "opened %s: %s (%s, driver %s)", opened->info.id, opened->info.name,
           opened->info.platform, opened->info.driver);
    *device = opened;
    return ANYNORM_OK;
}

void anynorm_device_close(anynorm_device *device)
{
    if (device && atomic_fetch_sub(&device->references, 1) == 1)
        device->backend->close(device);
}

anynorm_status anynorm_device_describe(const anynorm_device *device, anynorm_device_info *info)
{
    if (!device || !info)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or info is NULL");
    *info = device->info;
    return ANYNORM_OK;
}
