#include "explain.h"

#include "pages/page.h"

#include <inttypes.h>

static void add_values(struct json_text *json, const char *key, const float *values, uint64_t count)
{
    json_add(json, ",\"%s\":[", key);
    for (uint64_t i = 0; i < count; i++) {
        if (i)
            json_add(json, ",");
        json_add_number(json, (double)values[i], 9);
    }
    json_add(json, "]");
}

static bool add_set(struct json_text *json, anynorm_device *device, const struct explain_set *set)
{
    static const char *const names[EXPLAIN_NORMS] = {"layer", "rms", "batch", "instance", "group"};
    uint64_t count = set->samples * set->channels * set->height * set->width;
    bool first = true;

    json_add(json,
             "{\"name\":\"%s\",\"samples\":%" PRIu64 ",\"channels\":%" PRIu64 ",\"height\":%" PRIu64
             ",\"width\":%" PRIu64 ",\"groups\":%" PRIu64,
             set->name, set->samples, set->channels, set->height, set->width, explain_groups(set));
    add_values(json, "x", set->x, count);
    json_add(json, ",\"found\":{");
    for (int n = 0; n < EXPLAIN_NORMS; n++) {
        struct explain_numbers numbers;

        if (!explain_has(set, (enum explain_norm)n))
            continue;
        if (!explain_find(device, set, (enum explain_norm)n, &numbers))
            return false;
        json_add(json, "%s\"%s\":{\"rows\":%" PRIu64, first ? "" : ",", names[n], numbers.rows);
        add_values(json, "y", numbers.y, count);
        if (n != EXPLAIN_RMS)
            add_values(json, "mean", numbers.mean, numbers.rows);
        add_values(json, "rstd", numbers.rstd, numbers.rows);
        add_values(json, "dx", numbers.dx, count);
        json_add(json, "}");
        first = false;
    }
    json_add(json, "}}");
    return true;
}

static bool add_sets(struct json_text *json, anynorm_device *device, const struct explain_set *sets,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_add(json, "%s", i ? "," : "");
        if (!add_set(json, device, &sets[i]))
            return false;
    }
    return true;
}

bool explain_page_write(struct output *output, anynorm_device *device,
                        const struct explain_set *sets, size_t count)
{
    struct json_text json = {.text = NULL};
    anynorm_device_info info;
    anynorm_status status = anynorm_device_describe(device, &info);
    bool done;

    if (status != ANYNORM_OK)
        return cli_fail_library("explain", status);
    json_add(&json, "{");
    page_add_device(&json, &info);
    json_add(&json, "\"eps\":%.9g,\"sets\":[", EXPLAIN_EPS);
    done = add_sets(&json, device, sets, count);
    json_add(&json, "]}");
    done = done && page_write(output, &page_of_explain, &json);
    json_free(&json);
    return done;
}
