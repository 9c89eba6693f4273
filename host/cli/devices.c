#include "common/cli.h"

#include <anynorm/anynorm.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const classes[] = {
    [ANYNORM_CLASS_REFERENCE] = "reference",
    [ANYNORM_CLASS_CPU] = "cpu",
    [ANYNORM_CLASS_ACCELERATOR] = "accelerator",
    [ANYNORM_CLASS_GPU] = "gpu",
};

static const char *const shuffles[] = {
    [ANYNORM_SHUFFLE_NONE] = "none",   [ANYNORM_SHUFFLE_KHR] = "khr",
    [ANYNORM_SHUFFLE_INTEL] = "intel", [ANYNORM_SHUFFLE_PTX] = "ptx",
    [ANYNORM_SHUFFLE_AMD] = "amd",
};

/* Some drivers tell only when their device is opened that it cannot be. A caller's mistake is not
 * the device's: it is told of the default. */
static void find_unusable(anynorm_device_info *info)
{
    anynorm_device *device = NULL;
    anynorm_status status = *info->unusable ? ANYNORM_OK : anynorm_device_open(info->id, &device);

    if (status != ANYNORM_OK && status != ANYNORM_INVALID_ARGUMENT)
        snprintf(info->unusable, sizeof info->unusable, "%s: %s", anynorm_status_name(status),
                 anynorm_message());
    anynorm_device_close(device);
}

/* The id of the device that is used where none is named on the command line; "" where none can be
 * opened, which is told on stderr, since the list is what helps then. */
static void find_default(char *id, size_t capacity)
{
    anynorm_device *device = NULL;
    anynorm_device_info info;

    *id = '\0';
    if (!cli_open_device(NULL, &device)) {
        cli_error_print();
        return;
    }
    if (anynorm_device_describe(device, &info) == ANYNORM_OK)
        snprintf(id, capacity, "%s", info.id);
    anynorm_device_close(device);
}

static const char *bytes_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes == 0)
        return "-";
    while (value >= 1024.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024.0;
        unit++;
    }
    snprintf(text, 32, "%.4g %s", value, units[unit]);
    return text;
}

static void print_table(const anynorm_device_info *infos, size_t count, const char *chosen)
{
    const char *variable = getenv("ANYNORM_DEVICE");
    char text[2][32];
    int width = 9;

    for (size_t i = 0; i < count; i++) {
        int length = (int)strlen(infos[i].id);

        width = length > width ? length : width;
    }
    printf("  %-*s  %-11s  %5s  %6s  %-3s  %-3s  %-10s  %10s  %10s  %-3s  %s\n", width, "ID",
           "CLASS", "UNITS", "VECTOR", "F64", "F16", "SUB-GROUPS", "LOCAL", "MEMORY", "OWN",
           "NAME");
    for (size_t i = 0; i < count; i++) {
        const anynorm_device_info *info = &infos[i];

        printf("%c %-*s  %-11s  %5" PRIu32 "  %6" PRIu32
               "  %-3s  %-3s  %-10s  %10s  %10s  %-3s  %s\n",
               strcmp(info->id, chosen) == 0 ? '*' : ' ', width, info->id,
               info->emulated ? "emulator" : classes[info->device_class], info->compute_units,
               info->vector_width, info->fp64 ? "yes" : "no", info->fp16 ? "yes" : "no",
               info->subgroup ? "yes" : "no", bytes_text(info->local_bytes, text[0]),
               bytes_text(info->global_bytes, text[1]), info->unified_memory ? "no" : "yes",
               info->name);
    }
    if (*chosen)
        printf("\n* is used where no device is named%s.\n",
               variable && *variable
                   ? ", by ANYNORM_DEVICE"
                   : ": the best by class, own memory, API (vectors on a CPU) and units");
    for (size_t i = 0; i < count; i++) {
        if (*infos[i].unusable)
            printf("\n%s cannot be used:\n  %s\n", infos[i].id, infos[i].unusable);
    }
    for (size_t i = 0; i < count; i++) {
        if (*infos[i].quirks)
            printf("\n%s is masked for known faults of its driver, unless ANYNORM_QUIRKS=off:\n"
                   "  %s\n",
                   infos[i].id, infos[i].quirks);
    }
}

static void add_json(struct json_text *json, const anynorm_device_info *info, bool chosen)
{
    const struct {
        const char *key;
        const char *value;
    } texts[] = {
        {"id", info->id},
        {"name", info->name},
        {"vendor", info->vendor},
        {"platform", info->platform},
        {"driver", info->driver},
        {"version", info->version},
        {"class", classes[info->device_class]},
        {"shuffle", shuffles[info->shuffle]},
        {"quirks", info->quirks},
        {"unusable", info->unusable},
    };
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"compute_units", info->compute_units},
        {"vector_width", info->vector_width},
        {"max_work_group_size", info->max_work_group_size},
        {"max_groups", info->max_groups},
        {"local_bytes", info->local_bytes},
        {"global_bytes", info->global_bytes},
        {"max_alloc_bytes", info->max_alloc_bytes},
        {"max_range_bytes", info->max_range_bytes},
        {"max_buffers", info->max_buffers},
        {"cache_bytes", info->cache_bytes},
        {"subgroup_size", info->subgroup_size},
        {"subgroup_least", info->subgroup_least},
    };
    const struct {
        const char *key;
        bool value;
    } bools[] = {
        {"fp16", info->fp16},
        {"fp64", info->fp64},
        {"storage16", info->storage16},
        {"push_descriptors", info->push_descriptors},
        {"subgroup", info->subgroup},
        {"own_local_memory", info->own_local_memory},
        {"unified_memory", info->unified_memory},
        {"emulated", info->emulated},
        {"default", chosen},
    };

    json_add(json, "  {");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_add(json, "%s\"%s\": ", i ? ", " : "", texts[i].key);
        json_add_string(json, texts[i].value);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_add(json, ", \"%s\": %" PRIu64, numbers[i].key, numbers[i].value);
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++)
        json_add(json, ", \"%s\": %s", bools[i].key, bools[i].value ? "true" : "false");
    json_add(json, "}");
}

static void print_json(const anynorm_device_info *infos, size_t count, const char *chosen)
{
    struct json_text json = {.stream = stdout};

    json_add(&json, "[\n");
    for (size_t i = 0; i < count; i++) {
        add_json(&json, &infos[i], strcmp(infos[i].id, chosen) == 0);
        json_add(&json, i + 1 < count ? ",\n" : "\n");
    }
    json_add(&json, "]\n");
}

static bool list_devices(bool json)
{
    size_t count = anynorm_device_count();
    anynorm_device_info *infos = calloc(count + 1, sizeof *infos);
    char chosen[sizeof infos->id];
    bool done = false;

    if (!infos)
        return cli_fail(CLI_FAILED, "devices", "out of memory");
    for (size_t i = 0; i < count; i++) {
        anynorm_status status = anynorm_device_list(i, &infos[i]);

        if (status != ANYNORM_OK) {
            cli_fail_library("devices", status);
            goto out;
        }
    }
    find_default(chosen, sizeof chosen);
    for (size_t i = 0; i < count; i++)
        find_unusable(&infos[i]);
    if (json)
        print_json(infos, count, chosen);
    else
        print_table(infos, count, chosen);
    done = cli_flush_stdout();
out:
    free(infos);
    return done;
}

int cli_devices(int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, NULL, "print a JSON array with all that is known of each device",
         .flag = &json},
    };
    const struct cli_command command = {
        .name = "devices",
        .summary =
            "Lists the devices, marks the one that is used where none is named, and says of each\n"
            "that cannot be used why; each is opened to see.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int exit_status;

    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    return list_devices(json) ? CLI_DONE : cli_error_print();
}
