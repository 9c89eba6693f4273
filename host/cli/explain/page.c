#include "explain.h"

#include "explain/page_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

AN_PRINTF(2, 3) static bool say(struct output *output, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return output_write(output, text, (size_t)length);
}

/* In quotes. What could end the script that it is in, or the string, is escaped. */
static bool say_string(struct output *output, const char *text)
{
    bool done = say(output, "\"");

    for (; done && *text; text++) {
        unsigned char c = (unsigned char)*text;

        done = c < 0x20 || strchr("\"\\<>&", c) ? say(output, "\\u%04x", c) : say(output, "%c", c);
    }
    return done && say(output, "\"");
}

/* What JSON has no number for is null, as where a row holds an infinity. */
static bool say_numbers(struct output *output, const char *key, const float *values, uint64_t count)
{
    bool done = say(output, ",\"%s\":[", key);

    for (uint64_t i = 0; done && i < count; i++)
        done = isfinite(values[i]) ? say(output, "%s%.9g", i ? "," : "", (double)values[i])
                                   : say(output, "%snull", i ? "," : "");
    return done && say(output, "]");
}

static bool say_set(struct output *output, anynorm_device *device, const struct explain_set *set)
{
    static const char *const names[EXPLAIN_NORMS] = {"layer", "rms", "batch", "instance", "group"};
    uint64_t count = set->samples * set->channels * set->height * set->width;
    bool done =
        say(output,
            "{\"name\":\"%s\",\"samples\":%" PRIu64 ",\"channels\":%" PRIu64 ",\"height\":%" PRIu64
            ",\"width\":%" PRIu64 ",\"groups\":%" PRIu64,
            set->name, set->samples, set->channels, set->height, set->width, explain_groups(set)) &&
        say_numbers(output, "x", set->x, count) && say(output, ",\"found\":{");
    bool first = true;

    for (int n = 0; done && n < EXPLAIN_NORMS; n++) {
        struct explain_numbers numbers;

        if (!explain_has(set, (enum explain_norm)n))
            continue;
        done =
            explain_find(device, set, (enum explain_norm)n, &numbers) &&
            say(output, "%s\"%s\":{\"rows\":%" PRIu64, first ? "" : ",", names[n], numbers.rows) &&
            say_numbers(output, "y", numbers.y, count) &&
            (n == EXPLAIN_RMS || say_numbers(output, "mean", numbers.mean, numbers.rows)) &&
            say_numbers(output, "rstd", numbers.rstd, numbers.rows) &&
            say_numbers(output, "dx", numbers.dx, count) && say(output, "}");
        first = false;
    }
    return done && say(output, "}}");
}

bool explain_page_write(struct output *output, anynorm_device *device,
                        const struct explain_set *sets, size_t count)
{
    anynorm_device_info info;
    anynorm_status status = anynorm_device_describe(device, &info);

    if (status != ANYNORM_OK)
        return cli_fail_library("explain", status);
    bool done =
        output_write(output, explain_before_text, explain_before_length) &&
        say(output, "{\"version\":\"%s\",\"eps\":%.9g,\"device\":", ANYNORM_VERSION, EXPLAIN_EPS) &&
        say_string(output, info.name) && say(output, ",\"driver\":") &&
        say_string(output, info.platform) && say(output, ",\"id\":") &&
        say_string(output, info.id) && say(output, ",\"sets\":[");

    for (size_t i = 0; done && i < count; i++)
        done = (i == 0 || say(output, ",")) && say_set(output, device, &sets[i]);
    return done && say(output, "]}") &&
           output_write(output, explain_after_text, explain_after_length);
}
